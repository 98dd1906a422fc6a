"""Archives: the same study as its folder, or one refusal and nothing left on disk."""

from __future__ import annotations

import gzip
import io
import os
import signal
import stat
import struct
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from ichclient.dicom import headers_from_path
from ichclient.errors import CannotWrite, NothingFound, RefusedInput
from ichclient.infer import considered_from_path
from ichclient.sources import Limits, SourceOptions, opened_source
from ichclient.sources.kinds import archive_kind

zstandard = pytest.importorskip("zstandard")


def zip_of(folder: Path, path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder))


def tar_bytes(folder: Path) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as archive:
        archive.add(folder, ".")
    return packed.getvalue()


def tar_of(folder: Path, path: Path) -> None:
    path.write_bytes(tar_bytes(folder))


def gz_of(folder: Path, path: Path) -> None:
    path.write_bytes(gzip.compress(tar_bytes(folder), 1))


def zst_of(folder: Path, path: Path) -> None:
    path.write_bytes(zstandard.ZstdCompressor().compress(tar_bytes(folder)))


Packer = Callable[[Path, Path], None]
PACKERS: dict[str, Packer] = {
    "study.zip": zip_of,
    "study.tar": tar_of,
    "study.tar.gz": gz_of,
    "study.tar.zst": zst_of,
}
every_kind = pytest.mark.parametrize("name", PACKERS)


@pytest.fixture
def study(make_series: Callable[..., Path], tmp_path: Path) -> Path:
    folder = make_series(tmp_path / "study" / "A")
    (folder / "notes.txt").write_text("no DICOM")
    return folder.parent


def refusal(path: Path, options: SourceOptions | None = None) -> str:
    with pytest.raises(RefusedInput) as caught, opened_source(path, options):
        pytest.fail("the archive was opened")
    assert list(Path(tempfile.gettempdir()).iterdir()) == []
    return str(caught.value)


def zip_with(path: Path, name: str, mode: int = 0, content: bytes = b"x") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        member = zipfile.ZipInfo(name)
        member.external_attr = mode << 16
        member.compress_type = zipfile.ZIP_DEFLATED
        archive.writestr(member, content)
    return path


def tar_with(path: Path, *members: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w") as archive:
        for member in members:
            archive.addfile(member, io.BytesIO(bytes(member.size)))
    return path


def tar_member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, link
    return member


@every_kind
def test_an_archive_is_judged_as_its_folder_is(name: str, study: Path, tmp_path: Path) -> None:
    PACKERS[name](study, tmp_path / name)
    folder = headers_from_path(study)
    with opened_source(tmp_path / name) as path:
        scan = headers_from_path(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert [one.relative_path for one in scan.headers] == [f"A/{i:03}.dcm" for i in range(20)]
    assert [one.SOPInstanceUID for one in scan.headers] == [
        one.SOPInstanceUID for one in folder.headers
    ]
    assert scan.skipped == folder.skipped
    assert considered_from_path(str(tmp_path / name)) == considered_from_path(study)
    assert not path.exists()


def test_a_folder_and_a_file_are_read_where_they_lie(study: Path) -> None:
    for path in (study, study / "A" / "000.dcm", study / "absent"):
        with opened_source(path) as opened:
            assert opened == path


def test_errors_name_the_archive_and_not_the_temporary_folder(tmp_path: Path) -> None:
    path = zip_with(tmp_path / "study.zip", "A/notes.txt")
    with pytest.raises(NothingFound, match=r"study\.zip holds 1 file\(s\)") as caught:
        considered_from_path(path)
    assert "ichclient-" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["../a", "A/../../a", "/a", "\\a", "A\\..\\..\\a", "C:\\a", "C:a", "a" * 256, "A//b"]
)
def test_a_name_that_leaves_the_folder_condemns_the_archive(name: str, tmp_path: Path) -> None:
    assert "[unsafe_archive]" in refusal(zip_with(tmp_path / "a.zip", name))
    if "\\" not in name:
        assert "[unsafe_archive]" in refusal(tar_with(tmp_path / "a.tar", tar_member(name)))


def test_backslashes_separate_folders(tmp_path: Path) -> None:
    with opened_source(zip_with(tmp_path / "a.zip", "A\\B\\c.dcm")) as path:
        assert (path / "A" / "B" / "c.dcm").read_bytes() == b"x"


@pytest.mark.parametrize(
    "kind",
    [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE],
)
def test_links_and_devices_condemn_a_tar(kind: bytes, tmp_path: Path) -> None:
    path = tar_with(tmp_path / "a.tar", tar_member("b"), tar_member("a", kind, "b"))
    assert "link or a device" in refusal(path)


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_links_and_devices_condemn_a_zip(mode: int, tmp_path: Path) -> None:
    assert "link or a device" in refusal(zip_with(tmp_path / "a.zip", "a", mode | 0o777, b"/etc"))


def test_a_name_that_occurs_twice_condemns_the_archive(tmp_path: Path) -> None:
    twice = tar_with(tmp_path / "a.tar", tar_member("a"), tar_member("./a"))
    assert "twice" in refusal(twice)
    below = tar_with(tmp_path / "b.tar", tar_member("a"), tar_member("a/b"))
    assert "twice" in refusal(below)


def test_a_bomb_is_refused_by_its_ratio(tmp_path: Path) -> None:
    zeros = bytes(80 << 20)
    path = zip_with(tmp_path / "a.zip", "a", content=zeros)
    assert "100 times its size" in refusal(path)
    with opened_source(path, SourceOptions(Limits(max_ratio=2000))) as opened:
        assert (opened / "a").stat().st_size == len(zeros)
    packed = io.BytesIO()
    with gzip.open(packed, "wb", 1) as file, tarfile.open(fileobj=file, mode="w|") as archive:
        member = tar_member("a")
        member.size = len(zeros)
        archive.addfile(member, io.BytesIO(zeros))
    (tmp_path / "a.tar.gz").write_bytes(packed.getvalue())
    assert "100 times its size" in refusal(tmp_path / "a.tar.gz")


def test_a_zip_that_lies_about_its_sizes_is_refused(tmp_path: Path) -> None:
    path = zip_with(tmp_path / "a.zip", "a", content=bytes(1 << 20))
    data = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        struct.pack_into("<L", data, data.index(mark) + offset, 10)
    path.write_bytes(data)
    assert "[damaged_archive]" in refusal(path)


@every_kind
def test_more_bytes_or_files_than_allowed_are_refused(
    name: str, study: Path, tmp_path: Path
) -> None:
    PACKERS[name](study, tmp_path / name)
    assert "[too_large]" in refusal(tmp_path / name, SourceOptions(Limits(max_bytes=20_000)))
    assert "[too_many_files]" in refusal(tmp_path / name, SourceOptions(Limits(max_files=5)))


def test_a_zip_that_lists_millions_of_files_is_refused_unread(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for number in range(3000):
            archive.writestr(f"{number:0200}", b"")
    message = refusal(tmp_path / "a.zip", SourceOptions(Limits(max_files=1000)))
    assert "lists more than 1000 files" in message


def test_a_tar_header_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    member = tar_member("a", tarfile.XHDTYPE)
    member.size = 1 << 20
    assert "a header of 1048576 bytes" in refusal(tar_with(tmp_path / "a.tar", member))


def test_an_encrypted_zip_asks_to_be_unpacked(study: Path, tmp_path: Path) -> None:
    zip_of(study, tmp_path / "a.zip")
    data = bytearray((tmp_path / "a.zip").read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + offset] |= 1
    (tmp_path / "a.zip").write_bytes(data)
    assert "[encrypted_archive]" in refusal(tmp_path / "a.zip")


@every_kind
@pytest.mark.parametrize("share", [0.01, 0.5, 0.9])
def test_a_cut_archive_is_refused_and_not_half_a_study(
    name: str, share: float, study: Path, tmp_path: Path
) -> None:
    PACKERS[name](study, tmp_path / name)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: max(300, int(share * len(data)))])
    assert "[damaged_archive]" in refusal(tmp_path / name)


def test_a_tar_cut_between_two_files_is_refused(study: Path, tmp_path: Path) -> None:
    data = tar_bytes(study)
    (tmp_path / "a.tar").write_bytes(data[: data.index(b"./A/010.dcm")])
    assert "its end is missing" in refusal(tmp_path / "a.tar")


def test_two_tars_in_one_file_are_refused(study: Path, tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(2 * tar_bytes(study))
    assert "more follows behind its end" in refusal(tmp_path / "a.tar")


@pytest.mark.parametrize("name", ["study.zip", "study.tar.gz"])
def test_a_changed_byte_is_refused(name: str, study: Path, tmp_path: Path) -> None:
    PACKERS[name](study, tmp_path / name)
    data = bytearray((tmp_path / name).read_bytes())
    data[len(data) // 2] ^= 0xFF
    (tmp_path / name).write_bytes(data)
    assert "[damaged_archive]" in refusal(tmp_path / name)


def test_a_gzip_of_something_else_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"one image" * 999))
    assert "gzip without a whole tar file in it" in refusal(tmp_path / "a.gz")


@pytest.mark.parametrize(
    "start", [b"BZh9", b"\xfd7zXZ\x00", b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07"]
)
def test_a_kind_that_is_not_read_is_named(start: bytes, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(start + bytes(600))
    assert f"a {archive_kind(start)} archive" in refusal(tmp_path / "a")


def test_a_full_disk_leaves_nothing(study: Path, tmp_path: Path, temporary: Path) -> None:
    zip_of(study, tmp_path / "study.zip")
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)); "
        "sys.argv = ['ichclient', 'series', sys.argv[1]]; "
        "from ichclient.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "study.zip"],
        env={**os.environ, "TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == CannotWrite.exit_code, done.stderr
    assert "TMPDIR" in done.stderr
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_client_leaves_nothing(
    how: signal.Signals, tmp_path: Path, temporary: Path
) -> None:
    code = (
        "import sys; from ichclient.sources import archives\n"
        "def waiting(path, kind, intake):\n"
        "    intake.write('a', [b'x']); print('waiting', flush=True); sys.stdin.read()\n"
        "archives.unpack_archive = waiting; sys.argv = ['ichclient', 'series', sys.argv[1]]\n"
        "from ichclient.cli import main; main()"
    )
    client = subprocess.Popen(
        [sys.executable, "-c", code, zip_with(tmp_path / "a.zip", "a")],
        env={**os.environ, "TMPDIR": str(temporary)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with client:
        assert client.stdout is not None
        assert client.stdout.readline() == "waiting\n"
        assert len(list(temporary.iterdir())) == 1
        client.send_signal(how)
        assert client.wait(timeout=20) in (130, 143)
    assert list(temporary.iterdir()) == []
