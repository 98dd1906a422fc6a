"""Of a study's folder the known files are given, and nothing else of this host."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ichclient.worklist.files import KNOWN, file_of_study, has_report

from .conftest import Phase, Served, Ward, key_of, outcome_of

KEY = key_of(1)
SECRET = b"what nobody may see"


@pytest.fixture
def results(ward: Ward) -> Path:
    """The folder of a judged study, with every known file and others."""
    ward.add(1, 5, outcome=outcome_of(0.9, "positive"), report="<title>SMITH</title>report")
    folder = ward.folder.result_of(KEY)
    for name in ("result.json", "slices.csv", "top_slice.png", "masks.npz", ".ichclient-x"):
        (folder / name).write_bytes(name.encode())
    (folder / "dicom").mkdir()
    (folder / "dicom" / "sr.dcm").write_bytes(SECRET)
    (ward.folder.path / "secret").write_bytes(SECRET)
    return folder


def test_every_known_file_is_given_with_its_type(ward: Ward, results: Path) -> None:
    for name, (file, kind) in KNOWN.items():
        content, given = file_of_study(ward.folder, KEY, name) or (b"", "")
        assert given == kind
        assert content == (results / file).read_bytes().replace(b"SMITH", f"Study {KEY}".encode())


@pytest.mark.parametrize(
    "name", ["masks.npz", "report.html", "sr.dcm", "dicom/sr.dcm", "../secret", ".", "", "report\0"]
)
def test_another_name_is_not_given(ward: Ward, results: Path, name: str) -> None:
    assert file_of_study(ward.folder, KEY, name) is None


@pytest.mark.parametrize("key", ["..", ".", "", "0" * 19, "0" * 21, "A" * 20, "../" * 6 + "00"])
def test_what_is_no_key_names_no_folder(ward: Ward, results: Path, key: str) -> None:
    assert file_of_study(ward.folder, key, "report") is None
    assert not has_report(ward.folder, key)


def test_no_link_is_followed(ward: Ward, results: Path) -> None:
    (results / "result.json").unlink()
    (results / "result.json").symlink_to(ward.folder.path / "secret")
    assert file_of_study(ward.folder, KEY, "result.json") is None
    (ward.folder.results / key_of(2)).symlink_to(results)
    assert file_of_study(ward.folder, key_of(2), "report") is None
    assert not has_report(ward.folder, key_of(2))


def test_what_is_no_file_neither_hangs_nor_is_given(ward: Ward, results: Path) -> None:
    (results / "result.json").unlink()
    os.mkfifo(results / "result.json")
    assert file_of_study(ward.folder, KEY, "result.json") is None
    (results / "slices.csv").unlink()
    (results / "slices.csv").mkdir()
    assert file_of_study(ward.folder, KEY, "slices.csv") is None


OUTSIDE = [
    "/../station.key",
    "/studies/../station.key",
    "/studies/{key}/../../station.key",
    "/studies/{key}/..%2f..%2fstation.key",
    "/studies/{key}/%2e%2e/%2e%2e/station.key",
    "/studies/{key}/..%252f..%252fstation.key",
    "/studies/{key}/..\\..\\station.key",
    "/studies/{key}//etc/passwd",
    "/studies/%2fetc/passwd",
    "/studies/{key}/report%00.html",
    "/studies/{key}/report.html",
    "/studies/{key}/report/",
    "/studies/{key}/dicom/sr.dcm",
    "/studies/{key}/masks.npz",
    "/studies/{key}",
    "//etc/passwd",
    "http://127.0.0.1/studies/{key}/report",
    "file:///etc/passwd",
    "/etc/passwd",
    "/station.sqlite3",
    "/template/page.css",
    "*",
]


@pytest.mark.parametrize("path", OUTSIDE)
def test_an_address_outside_is_not_found(served: object, results: Path, path: str) -> None:
    server: Served = served()  # type: ignore[operator]
    target = path.format(key=KEY)
    answer = server.send(
        f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
    )
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert answer.endswith(b"There is nothing here.\n")
    assert server.ask(f"/studies/{KEY}/report")[0] == 200, "and the report is there"


def test_bytes_that_are_no_address_are_refused_without_repeating_them(
    served: object, results: Path
) -> None:
    server: Served = served()  # type: ignore[operator]
    for line in (b"GET /\0../secret HTTP/1.1", b"GET /\xff\xfe HTTP/1.1", b"GET", b"\xff\xff\xff"):
        answer = server.send(line + b"\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert answer.partition(b"\r\n")[0].split()[1] in (b"400", b"404")
        assert b"secret" not in answer
    assert server.said == []


def test_a_study_without_a_report_has_none(ward: Ward) -> None:
    ward.add(3, 5, Phase.REFUSED, code="gap", reason="There is a gap.")
    assert not has_report(ward.folder, key_of(3))
    assert file_of_study(ward.folder, key_of(3), "report") is None
