"""Whether highdicom is here: its absence ends in one sentence, before any work is done."""

from __future__ import annotations

from importlib.util import find_spec

from ichclient.errors import ObjectsError


def require_highdicom() -> None:
    """Raise ObjectsError, saying what to install, where highdicom is not installed."""
    if find_spec("highdicom") is None:
        raise ObjectsError(
            "DICOM objects need highdicom, which is not installed: "
            "pip install 'ich-triton[dicom-out]', or leave --dicom out."
        )
