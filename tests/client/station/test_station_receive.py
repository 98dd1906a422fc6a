"""A station's node, as DCMTK's programs and an unkind peer meet it."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.uid import MRImageStorage

from ichclient.station.peers import peers_from_texts
from ichclient.station.state import Phase, Station

from .conftest import Node, association, dcmtk, listening_node, sent, told, until


def test_an_echo_is_answered(node: Node) -> None:
    assert node.run("echoscu") == 0


def test_images_are_kept_as_they_came(node: Node, files: list[Path]) -> None:
    assert node.send(*files) == 0
    (study,) = node.station.studies()
    assert (study.phase, study.images) == (Phase.RECEIVING, 4)
    kept = {str(one.SOPInstanceUID): one for one in map(dcmread, node.kept)}
    came = {str(one.SOPInstanceUID): one for one in map(dcmread, files)}
    assert kept == came
    for uid, one in kept.items():
        assert one.file_meta.MediaStorageSOPInstanceUID == uid
    assert {path.parent.name for path in node.kept} == {study.key}
    assert node.half == []
    until(lambda: told(node, "association_ended", "images=4", "outcome=released"))


def test_dcmsend_brings_a_folder(node: Node, files: list[Path]) -> None:
    assert node.run("dcmsend", *files) == 0
    assert len(node.kept) == 4


@pytest.mark.parametrize(
    ("option", "syntax"), [("-xs", "70"), ("-xt", "80"), ("-xr", "5"), ("-xd", "99"), ("-xb", "2")]
)
def test_packed_images_are_taken_as_they_are(
    node: Node, files: list[Path], tmp_path: Path, option: str, syntax: str
) -> None:
    tools = {
        "-xs": ["dcmcjpeg"], "-xt": ["dcmcjpls"], "-xr": ["dcmcrle"],
        "-xd": ["dcmconv", "+td"], "-xb": ["dcmconv", "+tb"],
    }  # fmt: skip
    packed = tmp_path / "packed.dcm"
    program, *how = tools[option]
    subprocess.run([dcmtk(program), *how, files[0], packed], check=True)
    assert node.send(packed, options=(option,)) == 0
    (kept,) = map(dcmread, node.kept)
    assert str(kept.file_meta.TransferSyntaxUID).rpartition(".")[2] == syntax
    assert kept.PixelData == dcmread(packed).PixelData


def test_another_class_is_rejected_when_it_is_proposed(
    node: Node, make_slice: Callable[..., Any], tmp_path: Path
) -> None:
    make_slice(tmp_path / "mr.dcm", SOPClassUID=MRImageStorage, Modality="MR")
    assert node.send(tmp_path / "mr.dcm") != 0
    assert node.kept == node.half == []


def test_the_same_study_twice_is_one_study(node: Node, files: list[Path]) -> None:
    assert node.send(*files) == 0
    before = node.kept
    assert node.send(*files) == 0
    assert node.kept == before
    (study,) = node.station.studies()
    assert study.images == 4
    until(lambda: told(node, "there_already=4"))


def test_other_bytes_of_an_image_are_refused_and_the_first_stay(
    node: Node, files: list[Path], tmp_path: Path
) -> None:
    assert sent(node, files[0]) == [0x0000]
    changed = dcmread(files[0])
    changed.PixelData = bytes(len(changed.PixelData))
    changed.save_as(tmp_path / "changed.dcm")
    assert sent(node, tmp_path / "changed.dcm") == [0xC001]
    assert [dcmread(path).PixelData for path in node.kept] == [dcmread(files[0]).PixelData]
    assert told(node, "other_bytes", f"key={node.station.studies()[0].key}")


def test_an_image_of_no_study_is_refused(
    node: Node, make_slice: Callable[..., Any], tmp_path: Path
) -> None:
    make_slice(tmp_path / "none.dcm", StudyInstanceUID=None)
    assert sent(node, tmp_path / "none.dcm") == [0xC000]
    assert node.kept == node.half == []
    until(lambda: told(node, "association_ended", "no_uid=1"))


def test_an_unknown_caller_and_an_unknown_called_title_are_rejected(
    station: Station, files: list[Path]
) -> None:
    with listening_node(
        station, peers=peers_from_texts(["CT1@127.0.0.0/8", "CT2@10.1.2.3"])
    ) as node:
        for calling, called, allowed in [
            ("CT1", "ICHCLIENT", True), ("CT2", "ICHCLIENT", False), ("CT3", "ICHCLIENT", False),
            ("CT1", "OTHER", False),
        ]:  # fmt: skip
            with association(node.port, called, calling) as one:
                assert one.is_established is allowed
                assert one.is_rejected is not allowed
        assert node.run("storescu", files[0], options=("-aet", "CT9")) != 0
    assert node.kept == []
    assert told(node, "association", "peer=CT9", "refused")


def test_an_address_from_which_nobody_may_send_is_closed_at_once(station: Station) -> None:
    with listening_node(station, peers=peers_from_texts(["CT2@10.1.2.3"])) as node:
        with socket.create_connection(("127.0.0.1", node.port), timeout=30) as one:
            assert one.recv(1) == b""
        until(lambda: told(node, "association", "address=127.0.0.1", "refused"))


def test_senders_at_once_lose_nothing(
    node: Node, make_series: Callable[..., Path], tmp_path: Path
) -> None:
    import threading

    folders = [
        make_series(tmp_path / str(n), [5.0 * k for k in range(6)], StudyInstanceUID=f"1.5.{n}")
        for n in range(4)
    ]
    codes: list[int] = []
    threads = [
        threading.Thread(target=lambda one=one: codes.append(node.send(*sorted(one.iterdir()))))
        for one in folders
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == [0] * 4
    assert [study.images for study in node.station.studies()] == [6] * 4
    assert len(node.kept) == 24


def test_no_identity_is_told(node: Node, make_slice: Callable[..., Any], tmp_path: Path) -> None:
    uid = "1.2.840.113619.2.55.3.604688"
    make_slice(
        tmp_path / "a.dcm", PatientName="DOE^JANE", PatientID="P-4711", AccessionNumber="A-99",
        StudyInstanceUID=uid, StudyDescription="HEAD OF DOE",
    )  # fmt: skip
    assert node.send(tmp_path / "a.dcm") == 0
    until(lambda: told(node, "association_ended"))
    audit = (node.station.folder.path / "audit.jsonl").read_text()
    names = " ".join(path.as_posix() for path in node.station.folder.path.rglob("*"))
    for secret in ("DOE", "4711", "A-99", uid):
        assert secret not in "\n".join(node.lines) + audit + names
    identity = node.station.studies()[0].identity
    assert (identity.PatientName, identity.StudyInstanceUID) == ("DOE^JANE", uid)
