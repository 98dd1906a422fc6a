"""C-STORE: whatever a node does, each object is stored once, refused with a reason, or waits."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.uid import (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)

from ichclient.sources import SourceOptions

pynetdicom = pytest.importorskip("pynetdicom")
# pynetdicom leaves a socket that found nobody to the garbage collector.
pytestmark = [
    pytest.mark.usefixtures("swept"),
    pytest.mark.filterwarnings(
        "ignore:Exception ignored in. <s.*ocket fd:pytest.PytestUnraisableExceptionWarning"
    ),
]

A, B, C = "1.2.9.1", "1.2.9.2", "1.2.9.3"
FIND = "1.2.840.10008.5.1.4.1.2.2.1"
_READY_WITHIN_S = 60

PROFILE = """
[[TransferSyntaxes]]
[Plain]
TransferSyntax1 = LittleEndianImplicit
[[PresentationContexts]]
[Some]
PresentationContext1 = SecondaryCaptureImageStorage\\Plain
[[Profiles]]
[Default]
PresentationContexts = Some
"""


class StoreScp:
    """DCMTK's storescp on a port, which writes what it receives into a folder."""

    def __init__(self, port: int, folder: Path) -> None:
        self.port, self.folder = port, folder
        self.target = f"dimse:STORESCP@127.0.0.1:{port}"

    def received(self) -> list[str]:
        return sorted(str(dcmread(file).SOPInstanceUID) for file in self.folder.iterdir())


@pytest.fixture
def storescp(unused_port: int, tmp_path: Path) -> Callable[..., AbstractContextManager[StoreScp]]:
    program = shutil.which("storescp")
    if program is None:
        pytest.skip("storescp is absent: apt-get install --no-install-recommends dcmtk")

    @contextmanager
    def running(*options: str) -> Iterator[StoreScp]:
        one = StoreScp(unused_port, tmp_path / "received")
        one.folder.mkdir(exist_ok=True)
        command = [program, "-od", str(one.folder), "--unique-filenames", *options]
        process = subprocess.Popen(
            [*command, str(one.port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            deadline = time.monotonic() + _READY_WITHIN_S
            while True:
                try:
                    socket.create_connection(("127.0.0.1", one.port), 1).close()
                    break
                except OSError:
                    assert process.poll() is None
                    assert time.monotonic() < deadline
                    time.sleep(0.02)
            yield one
        finally:
            process.kill()
            process.wait()

    return running


@pytest.fixture
def files(write_objects: Callable[..., list[Path]], tmp_path: Path) -> list[Path]:
    return write_objects(tmp_path / "dicom", A, B, C)


class Node:
    """A DICOM node that answers with the statuses it is told, in the order of C-STORE requests."""

    def __init__(self, *services: str) -> None:
        self.ae = pynetdicom.AE("NODE")
        for uid in (SecondaryCaptureImageStorage, *services):
            self.ae.add_supported_context(uid)
        self.statuses: dict[str, int] = {}
        self.stored: list[str] = []
        self.aborts_on: set[str] = set()
        self.associations = 0

    def store(self, event: Any) -> int:
        uid = str(event.request.AffectedSOPInstanceUID)
        if uid in self.aborts_on:
            event.assoc.abort()
            return 0xA700
        status = self.statuses.get(uid, 0)
        if status == 0:
            self.stored.append(uid)
        return status

    def find(self, event: Any) -> Iterator[Any]:
        assert event.identifier.QueryRetrieveLevel == "IMAGE"
        assert event.identifier.StudyInstanceUID == "1.2.3"
        if event.identifier.SOPInstanceUID in self.stored:
            yield 0xFF00, event.identifier

    def count(self, _: Any) -> None:
        self.associations += 1

    @contextmanager
    def serving(self) -> Iterator[str]:
        evt = pynetdicom.evt
        handlers = [
            (evt.EVT_C_STORE, self.store),
            (evt.EVT_C_FIND, self.find),
            (evt.EVT_ESTABLISHED, self.count),
        ]
        server = self.ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
        try:
            yield f"dimse:NODE@127.0.0.1:{server.server_address[1]}"
        finally:
            self.ae.shutdown()


def reason(deliver: Any, uid: str = A) -> str:
    return str(deliver.rows()[uid].reason)


def test_a_group_goes_in_one_association_and_arrives_as_it_is(
    deliver: Any, storescp: Any, files: list[Path]
) -> None:
    with storescp() as scp:
        deliver.add(scp.target, files)
        assert deliver() == {A: "sent", B: "sent", C: "sent"}
        assert deliver() == {A: "sent", B: "sent", C: "sent"}
    received = {str(dcmread(file).SOPInstanceUID): dcmread(file) for file in scp.folder.iterdir()}
    assert received == {uid: dcmread(file) for uid, file in zip((A, B, C), files, strict=True)}
    assert {one.file_meta.TransferSyntaxUID for one in received.values()} == {
        ExplicitVRLittleEndian
    }


def test_each_syntax_is_proposed_as_it_lies_on_disk(
    deliver: Any, write_objects: Any, tmp_path: Path
) -> None:
    files = write_objects(tmp_path / "plain", A)
    files += write_objects(tmp_path / "packed", B, syntax=JPEGLSLossless)
    files += write_objects(tmp_path / "class", C, sop_class=SegmentationStorage)
    node = Node()
    with node.serving() as target:
        deliver.add(target, files)
        assert deliver() == {A: "sent", B: "refused", C: "refused"}
        assert "takes no Secondary Capture Image Storage in JPEG-LS" in reason(deliver, B)
        assert "takes no Segmentation Storage [not_offered]" in reason(deliver, C)
        node.ae.add_supported_context(SecondaryCaptureImageStorage, JPEGLSLossless)


def test_a_node_that_takes_none_of_the_classes_refuses_all(
    deliver: Any, storescp: Any, write_objects: Any, tmp_path: Path
) -> None:
    files = write_objects(tmp_path / "dicom", A, B, sop_class=SegmentationStorage)
    (tmp_path / "storescp.cfg").write_text(PROFILE)
    with storescp("-xf", str(tmp_path / "storescp.cfg"), "Default") as scp:
        deliver.add(scp.target, files)
        assert deliver() == {A: "refused", B: "refused"}
        assert "takes no Segmentation Storage" in reason(deliver)
        deliver.now += 1e6
        assert deliver() == {A: "refused", B: "refused"}
        # What it takes goes through beside, in the only syntax it knows.
        deliver.add(scp.target, [*files, *write_objects(tmp_path / "other", C)])
        assert deliver() == {A: "refused", B: "refused", C: "sent"}
        (file,) = scp.folder.iterdir()
        assert dcmread(file).file_meta.TransferSyntaxUID == ImplicitVRLittleEndian
        assert dcmread(file) == dcmread(tmp_path / "other" / f"{C}.dcm")


@pytest.mark.parametrize(
    ("status", "state", "told"),
    [
        (0xB000, "sent", "stored with warning 0xB000"),
        (0xB006, "sent", "stored with warning 0xB006"),
        (0x0107, "sent", "stored with warning 0x0107"),
        (0x0111, "sent", "was there already (0x0111)"),
        (0xA700, "waiting", "out of resources (0xA700)"),
        (0xA7FF, "waiting", "out of resources (0xA7FF)"),
        (0xA900, "refused", "data set does not match SOP class (0xA900)"),
        (0xC123, "refused", "cannot understand (0xC123)"),
        (0x0110, "refused", "processing failure (0x0110)"),
        (0x0122, "refused", "SOP class not supported (0x0122)"),
        (0x0124, "refused", "not authorised (0x0124)"),
        (0x1234, "refused", "failure (0x1234)"),
    ],
)
def test_a_status_says_what_becomes_of_one_object(
    deliver: Any, files: list[Path], status: int, state: str, told: str
) -> None:
    node = Node()
    node.statuses[B] = status
    with node.serving() as target:
        deliver.add(target, files)
        assert deliver() == {A: "sent", B: state, C: "sent"}
    assert node.stored == [A, C]
    assert reason(deliver, B) == told


def test_an_association_that_breaks_off_is_made_anew_and_what_was_lost_is_asked_for(
    deliver: Any, files: list[Path]
) -> None:
    node = Node(FIND)
    node.aborts_on.add(B)
    with node.serving() as target:
        deliver.add(target, files)
        assert deliver() == {A: "sent", B: "sending", C: "sent"}
        assert "broke off" in reason(deliver, B)
        # It arrived after all, and the answer was lost.
        node.stored.append(B)
        deliver.now += 10
        assert deliver() == {A: "sent", B: "sent", C: "sent"}
    assert sorted(node.stored) == [A, B, C]


def test_a_node_that_cannot_be_asked_gets_it_again(deliver: Any, files: list[Path]) -> None:
    node = Node()
    with node.serving() as target:
        deliver.add(target, files)
        deliver.mark_sending(A)
        assert deliver() == {A: "sent", B: "sent", C: "sent"}
    assert node.stored == [A, B, C]


def test_a_node_that_aborts_every_object_gets_each_once_when_it_is_well(
    deliver: Any, storescp: Any, files: list[Path]
) -> None:
    with storescp("--abort-after") as scp:
        deliver.add(scp.target, files)
        assert "sent" not in deliver().values()
        deliver.now += 10
        assert "sent" not in deliver().values()
    for file in scp.folder.iterdir():
        file.unlink()  # DCMTK has kept what it said to have lost
    with storescp() as scp:
        deliver.now += 400
        assert deliver() == {A: "sent", B: "sent", C: "sent"}
        assert scp.received() == [A, B, C]


def test_a_node_that_is_away_or_rejects_gets_it_later(
    deliver: Any, storescp: Any, files: list[Path], unused_port: int
) -> None:
    target = f"dimse:STORESCP@127.0.0.1:{unused_port}"
    deliver.add(target, files)
    assert set(deliver().values()) == {"waiting"}
    assert "No answer from STORESCP@127.0.0.1" in reason(deliver)
    with storescp("--refuse"):
        deliver.now += 400
        assert set(deliver().values()) == {"waiting"}
        # storescp may hang up before its rejection was read.
        assert "[rejected]" in reason(deliver) or "no association" in reason(deliver)
    with storescp() as scp:
        deliver.now += 400
        assert deliver() == {A: "sent", B: "sent", C: "sent"}
        assert scp.received() == [A, B, C]


def test_tls_wants_the_certificates_of_both_sides(
    deliver: Any, storescp: Any, files: list[Path], certificate: tuple[Path, Path]
) -> None:
    key, file = map(str, certificate)
    with storescp("+tls", key, file, "+cf", file) as scp:
        target = scp.target.replace("dimse:", "dimse-tls:")
        deliver.add(target, files)
        # Neither side trusts the other, then only we trust it.
        for options in ({}, {"ca_file": certificate[1]}):
            deliver.options = SourceOptions(timeout_s=5.0, **options)
            assert set(deliver().values()) == {"waiting"}
            assert "No answer from" in reason(deliver) or "no association" in reason(deliver)
            deliver.now += 400
        deliver.options = SourceOptions(
            timeout_s=60.0, ca_file=certificate[1], certificate=certificate[1], key=certificate[0]
        )
        assert deliver() == {A: "sent", B: "sent", C: "sent"}
        assert scp.received() == [A, B, C]
