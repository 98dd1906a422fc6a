"""Objects to deliver, as small as DICOM allows, and a service that fails as it is told."""

from __future__ import annotations

import contextlib
import gc
import io
import json
import logging
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from click.testing import CliRunner, Result
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from ichclient import infer, warm
from ichclient.cli import main
from ichclient.connect import ProvenServer
from ichclient.delivery.deliver import deliver_due
from ichclient.delivery.outbox import Queued, opened_outbox
from ichclient.delivery.outcome import Outcome
from ichclient.sources import SourceOptions
from ichclient.sources.multipart import boundary_from_content_type, parts_from_multipart

STUDY, SERIES = "1.2.3", "1.2.3.9"


def write_object(
    file: Path,
    uid: str,
    sop_class: str = SecondaryCaptureImageStorage,
    remark: str = "",
    syntax: str = ExplicitVRLittleEndian,
) -> Path:
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, uid
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = STUDY, SERIES
    dataset.PatientID, dataset.PatientName, dataset.Modality = "MRN-4711", "DOE^JANE", "OT"
    dataset.StudyDate, dataset.ImageComments = "20260102", remark
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    file.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(file, enforce_file_format=True)
    return file


@pytest.fixture
def write_objects() -> Callable[..., list[Path]]:
    """Write one object for each UID into a folder; their files in that order."""

    def write(folder: Path, *uids: str, **changes: str) -> list[Path]:
        return [write_object(folder / f"{uid}.dcm", uid, **changes) for uid in uids]

    return write


class Deliver:
    """An outbox with a clock of its own, and what it was told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = 1000.0
        self.told: list[tuple[str, str, str]] = []
        self.options = SourceOptions(timeout_s=10.0)

    def add(self, target: str, files: list[Path], group: str = "study") -> None:
        with opened_outbox(self.folder / "outbox.sqlite3") as outbox:
            outbox.add(target, files, group)

    def __call__(self) -> dict[str, str]:
        """One pass over what is due; the state of every object afterwards."""

        def heard(row: Queued, outcome: Outcome) -> None:
            self.told.append((row.SOPInstanceUID, outcome.kind, outcome.reason))

        with opened_outbox(self.folder / "outbox.sqlite3") as outbox:
            deliver_due(outbox, self.options, told=heard, clock=lambda: self.now)
            return {row.SOPInstanceUID: row.state for row in outbox.rows()}

    def rows(self) -> dict[str, Queued]:
        with opened_outbox(self.folder / "outbox.sqlite3") as outbox:
            return {row.SOPInstanceUID: row for row in outbox.rows()}

    def mark_sending(self, *uids: str) -> None:
        """As if the process had died while it sent these."""
        with opened_outbox(self.folder / "outbox.sqlite3") as outbox:
            for row in outbox.rows():
                if row.SOPInstanceUID in uids:
                    assert outbox.sending(row)


@pytest.fixture
def deliver(tmp_path: Path) -> Deliver:
    return Deliver(tmp_path)


class StowHandler(BaseHTTPRequestHandler):
    """A small DICOMweb service; `answer_post` answers a request itself where it returns True."""

    protocol_version = "HTTP/1.1"
    server: StowService

    def do_POST(self) -> None:
        self.body = self.rfile.read(int(self.headers["Content-Length"]))
        boundary = boundary_from_content_type(self.headers["Content-Type"])
        assert boundary is not None
        parts = parts_from_multipart([self.body], boundary)
        files = [b"".join(part) for part in parts]
        self.uids = [str(dcmread(io.BytesIO(file)).SOPInstanceUID) for file in files]
        self.server.requests.append(self.uids)
        self.server.headers_seen.append(dict(self.headers))
        if not self.server.answer_post(self):
            for uid, file in zip(self.uids, files, strict=True):
                self.server.stored.setdefault(uid, []).append(file)
            self.say(200, stored=self.uids)

    def do_GET(self) -> None:
        uid = parse_qs(urlsplit(self.path).query)["SOPInstanceUID"][0]
        self.server.asked.append(uid)
        if self.server.qido_status != 200:
            self.answer(self.server.qido_status)
        else:
            # Whatever it was asked for, it lists all that it has.
            listed = [{"00080018": {"Value": [each]}} for each in self.server.stored]
            self.answer(200, json.dumps(listed).encode())

    def say(
        self,
        status: int,
        stored: Sequence[str] = (),
        failed: dict[str, int] | None = None,
        warned: dict[str, int] | None = None,
    ) -> None:
        """Answer with a store response."""
        referenced: list[Any] = [{"00081155": {"Value": [uid]}} for uid in stored]
        for uid, reason in (warned or {}).items():
            referenced.append({"00081155": {"Value": [uid]}, "00081196": {"Value": [reason]}})
        failures = [
            {"00081155": {"Value": [uid]}, "00081197": {"Value": [reason]}}
            for uid, reason in (failed or {}).items()
        ]
        said = {"00081199": {"Value": referenced}, "00081198": {"Value": failures}}
        self.answer(status, json.dumps(said).encode())

    def answer(self, status: int, body: bytes = b"", kind: str = "application/dicom+json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


class StowService(ThreadingHTTPServer):
    """The service on a free loopback port, with what it was sent and asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), StowHandler)
        self.requests: list[list[str]] = []
        self.headers_seen: list[dict[str, str]] = []
        self.stored: dict[str, list[bytes]] = {}
        self.asked: list[str] = []
        self.qido_status = 200
        self.answer_post: Callable[[StowHandler], bool] = lambda _: False

    def handle_error(self, *_: Any) -> None:
        pass

    @property
    def target(self) -> str:
        return f"stow:http://127.0.0.1:{self.server_port}/dicom-web"


@pytest.fixture
def service() -> Iterator[StowService]:
    with StowService() as one:
        thread = threading.Thread(target=one.serve_forever, args=(0.01,))
        thread.start()
        yield one
        one.shutdown()
        thread.join()


class _Forward(BaseRequestHandler):
    server: TlsProxy

    def handle(self) -> None:
        try:
            outside = self.server.context.wrap_socket(self.request, server_side=True)
        except OSError:  # they do not trust each other
            return
        with outside, socket.create_connection(("127.0.0.1", self.server.behind)) as inside:
            back = threading.Thread(target=self.copied, args=(inside, outside))
            back.start()
            self.copied(outside, inside)
            back.join()

    def copied(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while chunk := source.recv(1 << 16):
                target.sendall(chunk)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


class TlsProxy(ThreadingTCPServer):
    """TLS in front of a port that has none; asks callers for a certificate that it trusts."""

    daemon_threads = True

    def __init__(self, behind: int, certificate: tuple[Path, Path]) -> None:
        super().__init__(("127.0.0.1", 0), _Forward)
        key, file = certificate
        self.behind = behind
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(file, key)
        self.context.load_verify_locations(file)
        self.context.verify_mode = ssl.CERT_REQUIRED


@pytest.fixture
def tls_in_front(certificate: tuple[Path, Path]) -> Iterator[Callable[[int], int]]:
    """Put TLS in front of a port; the port to call instead."""
    with contextlib.ExitStack() as stack:

        def started(behind: int) -> int:
            proxy = stack.enter_context(TlsProxy(behind, certificate))
            thread = threading.Thread(target=proxy.serve_forever, args=(0.01,))
            thread.start()
            stack.callback(thread.join)
            stack.callback(proxy.shutdown)
            return int(proxy.server_address[1])

        yield started


@pytest.fixture
def swept() -> Iterator[None]:
    """Sockets that pynetdicom leaves are collected here; records of a log would keep them."""
    logger = logging.getLogger("pynetdicom")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(level)
    gc.collect()


@pytest.fixture
def study(make_series: Callable[..., Path], tmp_path: Path) -> Path:
    return make_series(tmp_path / "study", PatientName="DOE^JANE", PatientID="MRN-4711")


@pytest.fixture
def judge(
    monkeypatch: pytest.MonkeyPatch, proven: ProvenServer, study: Path, tmp_path: Path
) -> Callable[..., Result]:
    """`ichclient infer` of the study into `out`, on the server of these tests."""

    @contextlib.contextmanager
    def proven_server(_: object, **__: object) -> Any:
        yield proven

    for module in (infer, warm):
        monkeypatch.setattr(module, "proven_server", proven_server)

    def judged(target: str, *options: str, folder: Path = study) -> Result:
        asked = ["infer", str(folder), "--out", str(tmp_path / "out"), "--store-to", target]
        return CliRunner().invoke(main, [*asked, "--deliver-for", "0", *options])

    return judged
