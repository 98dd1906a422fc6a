"""What the user typed is a target that reads back as itself, or is refused with a sentence."""

from __future__ import annotations

import pytest

from ichclient.delivery.targets import NodeTarget, StowTarget, Target, target_from_text
from ichclient.sources.address import NodeAddress


@pytest.mark.parametrize(
    ("text", "target", "in_the_clear"),
    [
        ("stow:https://pacs/dicom-web/", StowTarget("https://pacs/dicom-web"), False),
        ("STOW:http://10.0.0.7:8042/dw", StowTarget("http://10.0.0.7:8042/dw"), True),
        ("stow:http://localhost/dw", StowTarget("http://localhost/dw"), False),
        ("stow:http://[::1]:80/dw", StowTarget("http://[::1]:80/dw"), False),
        ("dimse:PACS@pacs:104", NodeTarget(NodeAddress("PACS", "pacs", 104)), True),
        (
            "dimse:MY PACS@127.0.0.1:104",
            NodeTarget(NodeAddress("MY PACS", "127.0.0.1", 104)),
            False,
        ),
        ("dimse-tls:P@[::1]:2762", NodeTarget(NodeAddress("P", "::1", 2762, tls=True)), False),
        ("dimse-tls:P@pacs:2762", NodeTarget(NodeAddress("P", "pacs", 2762, tls=True)), False),
    ],
)
def test_a_target_is_read(text: str, target: Target, in_the_clear: bool) -> None:
    assert target_from_text(text) == target
    assert target_from_text(str(target)) == target
    assert target.in_the_clear == in_the_clear


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("https://pacs/dicom-web", "stow:https://HOST"),
        ("dicomweb:https://pacs/dicom-web", "stow:https://HOST"),
        ("stow:pacs/dicom-web", "behind 'stow:' stands a URL"),
        ("stow:https://me:secret@pacs/dw", "ICHCLIENT_DICOMWEB_PASSWORD"),
        ("stow:https://pacs/dw?StudyInstanceUID=1.2", "no question mark"),
        ("dimse:PACS@pacs", "CALLED_AE_TITLE@HOST:PORT"),
        ("dimse:pacs:104", "CALLED_AE_TITLE@HOST:PORT"),
        ("dimse:A_TITLE_THAT_IS_TOO_LONG@pacs:104", "CALLED_AE_TITLE@HOST:PORT"),
        ("", "stow:https://HOST"),
    ],
)
def test_no_target_is_told(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told.replace(":", ".")):
        target_from_text(text)
