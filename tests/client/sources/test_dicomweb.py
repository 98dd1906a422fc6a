"""A DICOMweb service that fails in any way ends in one sentence, and nothing is left on disk."""

from __future__ import annotations

import logging
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ichclient.cli import main
from ichclient.errors import IchError, NothingFound, SourceError, SourceUnreachable
from ichclient.sources import SourceOptions, opened_source

pytest.importorskip("httpx")

STUDY, SERIES = "1.2.3", "1.2.3.4"


def fetched(pacs: Any, query: str = f"StudyInstanceUID={STUDY}", **options: Any) -> dict[str, Any]:
    """The bytes that arrive for each UID."""
    with opened_source(pacs.text(query), SourceOptions(**{"retry_s": 0.3, **options})) as path:
        return {file.stem: file.read_bytes() for file in path.rglob("*.dcm")}


def failure(pacs: Any, kind: type[IchError], temporary: Path, **options: Any) -> str:
    with pytest.raises(kind) as caught:
        fetched(pacs, **options)
    assert list(temporary.iterdir()) == []
    assert "ichclient-" not in str(caught.value)
    return str(caught.value)


def series_only(handler: Any) -> bool:
    return handler.place == f"/studies/{STUDY}/series/{SERIES}"


def test_every_byte_arrives_page_by_page(pacs: Any, files: dict[str, bytes]) -> None:
    assert fetched(pacs) == files
    assert pacs.asked[f"/studies/{STUDY}/series/{SERIES}/instances"] == 4  # pages of 7, 7, 6, 0
    assert pacs.asked[f"/studies/{STUDY}/series/{SERIES}"] == 1
    assert fetched(pacs, "AccessionNumber=A%201") == files
    assert any("AccessionNumber=A%201" in request for request in pacs.requests)
    assert fetched(pacs, f"SeriesInstanceUID={SERIES}") == files


def test_a_service_without_pages_ends(pacs: Any, files: dict[str, bytes]) -> None:
    """It answers every page with the same list."""

    def same(handler: Any) -> bool:
        handler.query.clear()
        return False

    pacs.page, pacs.defect = 100, same
    assert fetched(pacs) == files


def test_a_service_that_ignores_the_query_gives_nothing(pacs: Any, temporary: Path) -> None:
    with pytest.raises(NothingFound):
        fetched(pacs, "AccessionNumber=OTHER")
    with pytest.raises(NothingFound):
        fetched(pacs, "SeriesInstanceUID=1.2.999")
    assert list(temporary.iterdir()) == []


def test_a_list_that_is_shorter_than_the_series_is_an_error(pacs: Any, temporary: Path) -> None:
    def counted(handler: Any) -> bool:
        if handler.place == f"/studies/{STUDY}/series":
            handler.listed([{"0020000E": SERIES, "00201209": "21"}])
            return True
        return False

    pacs.defect = counted
    assert "has 21 images" in failure(pacs, SourceError, temporary)


@pytest.mark.parametrize("single", [False, True])
def test_what_is_missing_is_asked_for_again(
    pacs: Any, files: dict[str, bytes], single: bool
) -> None:
    """A series that breaks off in the middle; the rest comes one by one, once after a 503."""

    def cut(handler: Any) -> bool:
        if series_only(handler):
            handler.sent(list(files.values())[:12], cut=200)
            return True
        uid = handler.place.rpartition("/")[2]
        if uid in files and pacs.asked[handler.place] == 1:
            handler.answer(503)
            return True
        if uid in files and single:
            handler.answer(200, files[uid], "application/dicom")
        return uid in files and single

    pacs.defect = cut
    assert fetched(pacs, retry_s=5.0) == files
    singles = [place for place in pacs.asked if place.rpartition("/")[2] in files]
    assert len(singles) == 9
    assert all(pacs.asked[place] == 2 for place in singles)


def test_an_instance_that_is_not_given_is_an_error(pacs: Any, temporary: Path) -> None:
    lost = next(iter(pacs.files))

    def without(handler: Any) -> bool:
        if series_only(handler):
            handler.sent([one for uid, one in pacs.files.items() if uid != lost])
            return True
        if handler.place.endswith(lost):
            handler.answer(404)
            return True
        return False

    pacs.defect = without
    assert "did not give 1 of them" in failure(pacs, SourceError, temporary)


@pytest.mark.parametrize(
    ("status", "kind", "told", "tries"),
    [
        (401, SourceError, "ICHCLIENT_DICOMWEB_TOKEN", 1),
        (403, SourceError, "ICHCLIENT_DICOMWEB_TOKEN", 1),
        (404, NothingFound, "knows no such study", 1),
        (400, SourceError, "HTTP status 400", 1),
        (302, SourceError, "HTTP status 302", 1),
        (500, SourceUnreachable, "HTTP status 500", 2),
        (503, SourceUnreachable, "HTTP status 503", 2),
    ],
)
def test_a_status_is_told_and_only_5xx_is_tried_again(
    pacs: Any, temporary: Path, status: int, kind: type[IchError], told: str, tries: int
) -> None:
    def answers(handler: Any) -> bool:
        handler.answer(status)
        return True

    pacs.defect = answers
    assert told in failure(pacs, kind, temporary)
    if status == 401:
        assert CliRunner().invoke(main, ["series", pacs.text()]).exit_code == 12
        return
    first = pacs.asked[f"/studies/{STUDY}/series"]
    assert first >= 2 if tries > 1 else first == 1


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"<html>log in</html>", "text/html"),
        (b"{}", "application/json"),
        (b"[1, 2]", "application/json"),
        (b'[{"0020000E": {"Value": ["../../etc"]}}]', "application/json"),
        (b'[{"0020000E": {"Value": "1.2"}}]', "application/json"),
        (b"[" * 100_000, "application/json"),
        (b"\xff\xfe", "application/json"),
    ],
)
def test_a_list_that_is_garbage_is_told(pacs: Any, temporary: Path, body: bytes, kind: str) -> None:
    def answers(handler: Any) -> bool:
        handler.answer(200, body, kind)
        return True

    pacs.defect = answers
    assert "[garbage]" in failure(pacs, SourceError, temporary)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"<html>log in</html>", "text/html"),
        (b"no DICOM at all" * 99, "application/dicom"),
        (b"--edge\r\n\r\nno DICOM\r\n--edge--", "multipart/related; boundary=edge"),
        (b"--edge\r\n" + bytes(100_000) + b"--edge--", "multipart/related; boundary=edge"),
        (b"", ""),
    ],
)
def test_images_that_are_garbage_are_told(
    pacs: Any, temporary: Path, body: bytes, kind: str
) -> None:
    def answers(handler: Any) -> bool:
        if series_only(handler) or "/instances/" in handler.place:
            handler.answer(200, body, kind)
            return True
        return False

    pacs.defect = answers
    assert "[garbage]" in failure(pacs, SourceError, temporary)


def test_another_image_than_the_one_asked_for_is_not_taken(pacs: Any, temporary: Path) -> None:
    first, *_ = pacs.files.values()

    def swapped(handler: Any) -> bool:
        if series_only(handler) or "/instances/" in handler.place:
            handler.sent([first])
            return True
        return False

    pacs.defect = swapped
    assert "did not give 19 of them" in failure(pacs, SourceError, temporary)


def test_nobody_there_is_told(temporary: Path, unused_port: int) -> None:
    text = f"dicomweb:http://127.0.0.1:{unused_port}/dicom-web?StudyInstanceUID={STUDY}"
    options = SourceOptions(retry_s=0.2)
    with pytest.raises(SourceUnreachable, match="No answer from"), opened_source(text, options):
        pytest.fail("somebody answered")
    assert list(temporary.iterdir()) == []


def test_a_silent_service_is_given_up(pacs: Any, temporary: Path) -> None:
    pacs.defect = lambda handler: pacs.ended.wait(30) or True
    assert "No answer" in failure(pacs, SourceUnreachable, temporary, timeout_s=0.2, retry_s=0.1)


def test_a_service_that_drips_is_given_up(pacs: Any, temporary: Path) -> None:
    """It sends a byte now and then, always before the client's patience ends."""

    def drips(handler: Any) -> bool:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000000")
        handler.end_headers()
        while not pacs.ended.wait(0.05):
            try:
                handler.wfile.write(b" ")
            except OSError:
                break
        return True

    pacs.defect = drips
    assert "sent only" in failure(pacs, SourceUnreachable, temporary, timeout_s=0.5)


def test_signing_in_comes_from_the_environment_and_into_no_log(
    pacs: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("ICHCLIENT_DICOMWEB_TOKEN", "secrettoken")
    with caplog.at_level(logging.DEBUG):
        fetched(pacs, "AccessionNumber=A%201")
    assert pacs.headers_seen[-1]["Authorization"] == "Bearer secrettoken"
    monkeypatch.delenv("ICHCLIENT_DICOMWEB_TOKEN")
    monkeypatch.setenv("ICHCLIENT_DICOMWEB_USER", "me")
    monkeypatch.setenv("ICHCLIENT_DICOMWEB_PASSWORD", "secretpassword")
    with caplog.at_level(logging.DEBUG):
        fetched(pacs)
    assert pacs.headers_seen[-1]["Authorization"] == "Basic bWU6c2VjcmV0cGFzc3dvcmQ="
    assert "secret" not in caplog.text
    assert "bWU6" not in caplog.text
    assert "A%201" not in caplog.text


def test_a_certificate_must_be_trusted(
    make_pacs: Callable[..., Any],
    files: dict[str, bytes],
    certificate: tuple[Path, Path],
    temporary: Path,
) -> None:
    key, file = certificate
    pacs = make_pacs(files)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, key)
    pacs.socket = context.wrap_socket(pacs.socket, server_side=True)
    pacs.scheme = "https"
    with pacs.serving():
        assert "[certificate]" in failure(pacs, SourceError, temporary)
        assert fetched(pacs, ca_file=file) == files
        assert "--ca" in failure(pacs, SourceError, temporary, ca_file=key)


def test_ctrl_c_in_a_download_leaves_nothing(pacs: Any, temporary: Path) -> None:
    waiting = threading.Event()

    def half(handler: Any) -> bool:
        if series_only(handler):
            handler.send_response(200)
            handler.send_header("Content-Type", "multipart/related; boundary=edge")
            handler.send_header("Content-Length", "1000000")
            handler.end_headers()
            first = next(iter(pacs.files.values()))
            handler.wfile.write(b"--edge\r\n\r\n" + first + b"\r\n--edge\r\n\r\n" + first[:1500])
            waiting.set()
            pacs.ended.wait(30)
            return True
        return False

    pacs.defect = half
    client = subprocess.Popen(
        [sys.executable, "-m", "ichclient", "series", pacs.text()],
        env={**os.environ, "TMPDIR": str(temporary)},
        stderr=subprocess.PIPE,
        text=True,
    )
    with client:
        assert waiting.wait(30)
        deadline = time.monotonic() + 20
        while not list(temporary.rglob("*.dcm")) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert list(temporary.rglob("*.dcm")) != []
        client.send_signal(signal.SIGINT)
        assert client.wait(timeout=20) == 130
    assert list(temporary.iterdir()) == []
