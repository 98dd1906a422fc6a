"""A DICOM node that fails in any way ends in one sentence, and nothing is left on disk."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from pydicom import dcmread
from pydicom.dataset import Dataset

from ichclient.cli import main
from ichclient.dicom import headers_from_path
from ichclient.errors import (
    CannotWrite,
    IchError,
    NothingFound,
    PortInUse,
    RefusedInput,
    SourceError,
    SourceUnreachable,
)
from ichclient.sources import SourceOptions, limits, opened_source

pynetdicom = pytest.importorskip("pynetdicom")
# pynetdicom leaves a socket that found nobody to the garbage collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <socket.socket:pytest.PytestUnraisableExceptionWarning"
)

FIND, MOVE, GET = (f"1.2.840.10008.5.1.4.1.2.2.{number}" for number in (1, 2, 3))
CT = "1.2.840.10008.5.1.4.1.1.2"
STUDY, SERIES = "1.2.3", "1.2.3.4"


class Node:
    """A DICOM node of five slices, written for tests; each `answer_...` may be replaced."""

    def __init__(self, files: list[Path], services: tuple[str, ...] = (FIND, MOVE, GET)) -> None:
        self.datasets = [dcmread(file) for file in files]
        self.ae = pynetdicom.AE("NODE")
        self.ae.require_called_aet = True
        for uid in services:
            self.ae.add_supported_context(uid)
        self.ae.add_supported_context(CT, scu_role=True, scp_role=True)
        self.ae.add_requested_context(CT)
        self.destination: tuple[str | None, int | None] = (None, None)
        self.asked: list[Dataset] = []
        self.proposed: list[str] = []
        self.context: ssl.SSLContext | None = None
        self.answer_find: Callable[[Any], Iterator[Any]] = self.rows
        self.answer_get: Callable[[Any], Iterator[Any]] = self.images

    def rows(self, event: Any) -> Iterator[Any]:
        level = event.identifier.QueryRetrieveLevel
        for dataset in self.datasets if level == "IMAGE" else self.datasets[:1]:
            row = Dataset()
            row.StudyInstanceUID, row.SeriesInstanceUID = STUDY, SERIES
            row.AccessionNumber = "A1"
            row.SOPInstanceUID, row.SOPClassUID = dataset.SOPInstanceUID, CT
            yield 0xFF00, row

    def images(self, _: Any) -> Iterator[Any]:
        yield len(self.datasets)
        for dataset in self.datasets:
            yield 0xFF00, dataset

    def moved(self, event: Any) -> Iterator[Any]:
        yield self.destination
        yield from self.answer_get(event)

    def find(self, event: Any) -> Iterator[Any]:
        self.asked.append(event.identifier)
        yield from self.answer_find(event)

    def get(self, event: Any) -> Iterator[Any]:
        yield from self.answer_get(event)

    def seen(self, event: Any) -> None:
        wanted = event.assoc.requestor.primitive.presentation_context_definition_list
        self.proposed = [str(one.abstract_syntax) for one in wanted]

    @contextmanager
    def serving(self) -> Iterator[str]:
        """The text by which a user names the node."""
        evt = pynetdicom.evt
        handlers = [
            (evt.EVT_C_FIND, self.find),
            (evt.EVT_C_GET, self.get),
            (evt.EVT_C_MOVE, self.moved),
            (evt.EVT_REQUESTED, self.seen),
        ]
        server = self.ae.start_server(
            ("127.0.0.1", 0), block=False, evt_handlers=handlers, ssl_context=self.context
        )
        try:
            yield f"NODE@127.0.0.1:{server.server_address[1]}?StudyInstanceUID={STUDY}"
        finally:
            self.ae.shutdown()


@pytest.fixture(scope="module")
def folder(make_series: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_series(tmp_path_factory.mktemp("series"), [0.0, 5.0, 10.0, 15.0, 20.0])


@pytest.fixture
def node(folder: Path) -> Node:
    return Node(sorted(folder.iterdir()))


def count(text: str, scheme: str = "dimse", **options: Any) -> int:
    with opened_source(f"{scheme}:{text}", SourceOptions(**{"timeout_s": 5.0, **options})) as path:
        return len(headers_from_path(path).headers)


def failure(node: Node, kind: type[IchError], temporary: Path, **options: Any) -> str:
    with node.serving() as text, pytest.raises(kind) as caught:
        count(text, **options)
    assert list(temporary.iterdir()) == []
    assert "127.0.0.1" in str(caught.value)
    return str(caught.value)


def moved_to(node: Node, port: int) -> int:
    node.destination = ("127.0.0.1", port)
    return port


def test_a_study_is_got_and_only_what_it_needs_is_proposed(node: Node) -> None:
    with node.serving() as text:
        assert count(text) == 5
    assert set(node.proposed) == {GET, CT}
    assert {one.StudyInstanceUID for one in node.asked} == {STUDY}
    assert "PatientID" not in node.asked[0]


def test_a_study_is_moved(node: Node, unused_port: int) -> None:
    moved_to(node, unused_port)
    with node.serving() as text:
        assert count(text, move_port=unused_port) == 5


def test_nobody_there_is_told(temporary: Path, unused_port: int) -> None:
    text = f"dimse:NODE@127.0.0.1:{unused_port}?StudyInstanceUID={STUDY}"
    answer = CliRunner().invoke(main, ["series", text, "--fetch-timeout", "2"])
    assert answer.exit_code == SourceUnreachable.exit_code == 12
    assert "No answer from NODE@127.0.0.1" in answer.stderr
    assert list(temporary.iterdir()) == []


def test_a_rejection_names_its_reason(node: Node, temporary: Path) -> None:
    node.ae.ae_title = "OTHER"
    assert "[rejected]" in failure(node, SourceError, temporary)
    node.ae.ae_title = "NODE"
    node.ae.require_calling_aet = ["SOMEBODY"]
    told = failure(node, SourceError, temporary)
    assert "Calling AE title not recognised" in told
    node.ae.require_calling_aet = ["ME"]
    with node.serving() as text:
        assert count(text, ae_title="ME") == 5


def test_a_port_that_speaks_no_dicom_is_told(temporary: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        text = f"NODE@127.0.0.1:{silent.getsockname()[1]}?StudyInstanceUID={STUDY}"
        with pytest.raises(SourceUnreachable, match="no association"):
            count(text, timeout_s=0.3)
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(("services", "told"), [((MOVE, GET), "C-FIND"), ((FIND, MOVE), "C-GET")])
def test_a_service_that_is_not_offered_is_named(
    folder: Path, temporary: Path, services: tuple[str, ...], told: str
) -> None:
    node = Node(sorted(folder.iterdir()), services)
    assert f"does not offer {told}" in failure(node, SourceError, temporary)


def test_a_node_that_lists_other_studies_finds_nothing(node: Node, temporary: Path) -> None:
    with node.serving() as text, pytest.raises(NothingFound):
        count(text.partition("?")[0] + "?AccessionNumber=OTHER")
    with node.serving() as text, pytest.raises(NothingFound):
        count(text + "&SeriesInstanceUID=1.2.999")
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "kind", "told"),
    [
        ({"StudyInstanceUID": "1.2.5"}, RefusedInput, "1.2.3, 1.2.5"),
        ({"StudyInstanceUID": ""}, SourceError, "[garbage]"),
        ({"SOPInstanceUID": "../1"}, SourceError, "[garbage]"),
        ({"NumberOfSeriesRelatedInstances": 6}, SourceError, "did not give 1"),
    ],
)
def test_a_list_that_cannot_be_followed_is_told(
    node: Node, changes: dict[str, Any], kind: type[IchError], told: str
) -> None:
    def changed(event: Any) -> Iterator[Any]:
        for status, row in node.rows(event):
            yield status, row
            for keyword, value in changes.items():
                setattr(row, keyword, value)
            yield status, row

    node.answer_find = changed
    with node.serving() as text, pytest.raises(kind) as caught:
        count(text.partition("?")[0] + "?AccessionNumber=A1")
    assert told in str(caught.value)


@pytest.mark.parametrize("service", ["find", "get"])
def test_a_status_that_refuses_is_told(node: Node, temporary: Path, service: str) -> None:
    def refuses(_: Any) -> Iterator[Any]:
        if service == "get":
            yield 5
        yield 0xA700, None

    setattr(node, f"answer_{service}", refuses)
    assert "0xA70" in failure(node, SourceError, temporary)


def test_failed_transfers_are_an_error_and_not_half_a_study(node: Node, temporary: Path) -> None:
    """The third slice is of a class that was not proposed, so the node cannot send it."""
    node.datasets[2].SOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
    assert "did not give 1 of them" in failure(node, SourceError, temporary)


@pytest.mark.parametrize("way", ["get", "move"])
def test_fewer_images_than_were_listed_are_an_error(
    node: Node, temporary: Path, unused_port: int, way: str
) -> None:
    def four(_: Any) -> Iterator[Any]:
        yield 4
        for dataset in node.datasets[:4]:
            yield 0xFF00, dataset

    node.answer_get = four
    port = moved_to(node, unused_port) if way == "move" else None
    assert "did not give 1 of them" in failure(node, SourceError, temporary, move_port=port)


@pytest.mark.parametrize("way", ["get", "move"])
def test_a_transfer_that_is_aborted_is_an_error(
    node: Node, temporary: Path, unused_port: int, way: str
) -> None:
    def aborts(event: Any) -> Iterator[Any]:
        yield 5
        yield 0xFF00, node.datasets[0]
        event.assoc.abort()
        yield 0xFF00, node.datasets[1]

    node.answer_get = aborts
    port = moved_to(node, unused_port) if way == "move" else None
    assert "broke off" in failure(node, SourceUnreachable, temporary, move_port=port)


def test_a_node_that_falls_silent_is_given_up(node: Node, temporary: Path) -> None:
    ended = threading.Event()

    def silent(_: Any) -> Iterator[Any]:
        ended.wait(20)
        yield 0x0000, None

    node.answer_find = silent
    with node.serving() as text:
        with pytest.raises(SourceUnreachable, match="did not answer"):
            count(text, timeout_s=0.5)
        ended.set()
    assert list(temporary.iterdir()) == []


def test_a_destination_that_the_node_does_not_know_is_told(
    node: Node, temporary: Path, unused_port: int
) -> None:
    assert "[move_destination]" in failure(node, SourceError, temporary, move_port=unused_port)


def test_a_port_that_is_taken_is_told(node: Node, temporary: Path) -> None:
    with (
        socket.create_server(("", 0)) as taken,
        node.serving() as text,
        pytest.raises(PortInUse, match="--move-port"),
    ):
        count(text, move_port=taken.getsockname()[1])
    assert list(temporary.iterdir()) == []


def test_a_disk_that_is_full_is_told(
    node: Node, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise CannotWrite("full")

    monkeypatch.setattr(limits, "_write_whole", full)
    with node.serving() as text, pytest.raises(CannotWrite):
        count(text)
    assert list(temporary.iterdir()) == []


def test_tls_is_spoken_to_a_certificate_that_is_trusted(
    node: Node, certificate: tuple[Path, Path], temporary: Path
) -> None:
    key, file = certificate
    node.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    node.context.load_cert_chain(file, key)
    with node.serving() as text:
        assert count(text, scheme="dimse-tls", ca_file=file) == 5
        with pytest.raises(SourceError):
            count(text, scheme="dimse-tls")
    assert list(temporary.iterdir()) == []
