"""A PACS for these tests: a small DICOMweb service that fails as it is told."""

from __future__ import annotations

import json
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from ichclient.dicom import headers_from_path

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


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders are made."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder
