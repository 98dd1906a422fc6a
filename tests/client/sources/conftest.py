"""PACS for these tests: a real Orthanc, and a small DICOMweb service that fails as it is told.

Both listen on free loopback ports; Orthanc keeps everything in a folder of its own.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import parse_qs, urlsplit

import pytest

from ichclient.dicom import headers_from_path

DICOMWEB_PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
_PROGRAM = "Orthanc"
_READY_WITHIN_S = 60


@dataclass(frozen=True)
class Orthanc:
    """Where an Orthanc listens, and to which port it moves studies for `ICHCLIENT`."""

    http_port: int
    dicom_port: int
    move_port: int

    @property
    def dicomweb(self) -> str:
        return f"dicomweb:http://127.0.0.1:{self.http_port}/dicom-web"

    @property
    def dimse(self) -> str:
        return f"dimse:ORTHANC@127.0.0.1:{self.dicom_port}"

    def upload(self, file: Path) -> None:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.http_port}/instances", file.read_bytes(), method="POST"
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert json.load(answer)["Status"] in ("Success", "AlreadyStored")


def why_absent() -> str | None:
    """Why Orthanc cannot be started here; None where it can."""
    if program() is None or not DICOMWEB_PLUGIN.exists():
        return "Orthanc is absent: apt-get install --no-install-recommends orthanc orthanc-dicomweb"
    return None


def program() -> str | None:
    return shutil.which(_PROGRAM) or shutil.which(_PROGRAM, path="/usr/sbin:/usr/local/sbin")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def running_orthanc(folder: Path) -> Iterator[Orthanc]:
    """Start the installed Orthanc with everything that it writes below `folder`."""
    ports = Orthanc(free_port(), free_port(), free_port())
    configuration = {
        "Name": "TEST",
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "Plugins": [str(DICOMWEB_PLUGIN)],
        "HttpPort": ports.http_port,
        "DicomPort": ports.dicom_port,
        "DicomAet": "ORTHANC",
        "DicomCheckCalledAet": True,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomAlwaysAllowFind": True,
        "DicomAlwaysAllowGet": True,
        "DicomAlwaysAllowMove": True,
        "DicomModalities": {"client": ["ICHCLIENT", "127.0.0.1", ports.move_port]},
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "orthanc.json").write_text(json.dumps(configuration))
    log_path = folder / "orthanc.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [str(program()), str(folder / "orthanc.json")],
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=folder,
        )
    try:
        _await_answer(ports, process, log_path)
        yield ports
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await_answer(ports: Orthanc, process: subprocess.Popen[bytes], log_path: Path) -> None:
    deadline = time.monotonic() + _READY_WITHIN_S
    url = f"http://127.0.0.1:{ports.http_port}/dicom-web/studies"
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (URLError, OSError):
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(log_path.read_text(errors="replace")[-2000:]) from None
            time.sleep(0.05)


STUDY, SERIES = "1.2.3", "1.2.3.4"
"""What `make_series` writes."""


class Handler(BaseHTTPRequestHandler):
    """A small DICOMweb service; `defect` answers a request itself where it returns True."""

    protocol_version = "HTTP/1.1"
    server: Pacs

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        self.query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        self.place = parts.path.removeprefix("/dicom-web")
        self.server.asked[self.place] += 1
        self.server.requests.append(self.path)
        self.server.headers_seen.append(dict(self.headers))
        if self.server.defect(self):
            return
        if self.place in ("/studies", "/series", f"/studies/{STUDY}/series"):
            self.listed([{"0020000D": STUDY, "0020000E": SERIES, "00080050": "A 1"}])
        elif self.place == f"/studies/{STUDY}/series/{SERIES}/instances":
            self.listed([{"00080018": uid} for uid in self.server.files])
        elif self.place == f"/studies/{STUDY}/series/{SERIES}":
            self.sent(list(self.server.files.values()))
        elif self.place.rpartition("/")[2] in self.server.files:
            self.sent([self.server.files[self.place.rpartition("/")[2]]])
        else:
            self.answer(404)

    def listed(self, rows: list[dict[str, str]]) -> None:
        first = int(self.query.get("offset", 0))
        page = rows[first : first + min(int(self.query.get("limit", 100)), self.server.page)]
        dicom = [{tag: {"Value": [value]} for tag, value in row.items()} for row in page]
        self.answer(200, json.dumps(dicom).encode(), "application/dicom+json")

    def sent(self, files: list[bytes], *, cut: int = 0) -> None:
        parts = [b"--edge\r\nContent-Type: application/dicom\r\n\r\n" + one for one in files]
        body = b"\r\n".join([*parts, b"--edge--\r\n"])
        kind = 'multipart/related; type="application/dicom"; boundary="edge"'
        self.answer(200, body[: len(body) - cut], kind)

    def answer(self, status: int, body: bytes = b"", kind: str = "text/plain") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


class Pacs(ThreadingHTTPServer):
    """The service on a free loopback port, with what it was asked."""

    daemon_threads = True

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = files
        self.page = 7
        self.asked: Counter[str] = Counter()
        self.requests: list[str] = []
        self.headers_seen: list[dict[str, str]] = []
        self.defect: Callable[[Handler], bool] = lambda _: False
        self.ended = threading.Event()
        self.scheme = "http"

    def handle_error(self, *_: Any) -> None:
        pass

    def text(self, query: str = f"StudyInstanceUID={STUDY}") -> str:
        return f"dicomweb:{self.scheme}://127.0.0.1:{self.server_port}/dicom-web?{query}"

    @contextmanager
    def serving(self) -> Iterator[Pacs]:
        thread = threading.Thread(target=self.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield self
        finally:
            self.ended.set()
            self.shutdown()
            thread.join()
            self.server_close()


@pytest.fixture(scope="module")
def files(
    make_series: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, bytes]:
    folder = make_series(tmp_path_factory.mktemp("files"))
    headers = headers_from_path(folder).headers
    return {one.SOPInstanceUID: one.path.read_bytes() for one in headers}


@pytest.fixture
def pacs(files: dict[str, bytes]) -> Iterator[Pacs]:
    with Pacs(files).serving() as one:
        yield one


@pytest.fixture
def make_pacs() -> Callable[[dict[str, bytes]], Pacs]:
    """`Pacs`, for a test that changes it before it serves."""
    return Pacs


@pytest.fixture(scope="session")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    """A running Orthanc that holds nothing at first."""
    if reason := why_absent():
        pytest.skip(reason)
    with running_orthanc(tmp_path_factory.mktemp("orthanc")) as server:
        yield server


@pytest.fixture
def unused_port() -> int:
    """A loopback port where nobody listens."""
    return free_port()


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders are made."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A private key and the certificate that it signed itself, for 127.0.0.1."""
    folder = tmp_path_factory.mktemp("certificate")
    key, file = folder / "key.pem", folder / "certificate.pem"
    name = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *name]
    subprocess.run([*made, "-keyout", key, "-out", file], check=True, capture_output=True)
    return key, file
