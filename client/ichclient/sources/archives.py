"""Archive -> its files in a folder, as far as they may be trusted.

Only regular files are unpacked: a link, a device or a name that leaves the folder condemns the
whole archive, since nobody packs a study so by accident. An archive inside is left as it is; the
header scan says so. An archive that ends early is refused, for half a study looks like a whole one.
"""

from __future__ import annotations

import gzip
import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import IO, Any, Self, cast

from ichclient.errors import MissingExtra, RefusedInput
from ichclient.sources.kinds import READ, Kind
from ichclient.sources.limits import CHUNK_BYTES, MIB, Intake, chunks_from_file, refuse_beyond

# A member's name and times fit into this; Python reads such a header into memory as a whole.
_LONGEST_HEADER_BYTES = 64 << 10
_HEADER_TYPES = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)
_ZSTANDARD_WINDOW_BYTES = 128 * MIB
# Python reads a zip's directory into memory as a whole; a name and its facts fit into this.
_DIRECTORY_BYTES_PER_FILE = 512
_ZIP_END, _ZIP64_END = b"PK\x05\x06", b"PK\x06\x06"
_ZIP_END_BYTES, _ZIP64_LOCATOR_BYTES, _ZIP64_END_BYTES = 22, 20, 56
_LONGEST_ZIP_COMMENT = 0xFFFF
_ENCRYPTED = 0x1

_DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    NotImplementedError,  # a packing method that zipfile does not know
    RuntimeError,  # how zipfile asks for a password
    ValueError,
    struct.error,
)


def unpack_archive(path: Path, kind: Kind, intake: Intake) -> None:
    """Unpack the archive at `path` into the intake.

    Raises RefusedInput for an archive that is unsafe, encrypted, damaged, cut or of a kind that is
    not read, and MissingExtra where zstandard is absent.
    """
    if kind not in READ:
        raise RefusedInput(
            f"{path} is a {kind} archive, which is not read. Unpack it and give the folder, or "
            "pack the study as zip, tar, tar.gz or tar.zst. [archive_kind]"
        )
    try:
        if kind == "zip":
            _unpack_zip(path, intake)
        else:
            with path.open("rb") as packed, _opened(kind, packed) as stream:
                _unpack_tar(_Metered(stream, intake), kind, intake)
    except _DAMAGE as error:
        raise RefusedInput(
            f"{path} is cut or damaged ({_short(error)}). Copy or pack it again. [damaged_archive]"
        ) from error


def _unpack_zip(path: Path, intake: Intake) -> None:
    _refuse_a_vast_directory(path, intake)
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        for member in members:
            _refuse_zip_member(member, intake.name)
        refuse_beyond(
            sum(member.file_size for member in members),
            intake.byte_limit,
            intake.limits,
            intake.name,
        )
        for member in members:
            if member.is_dir():
                intake.count()
                continue
            with archive.open(member) as file:
                intake.write(member.filename, chunks_from_file(file))


def _refuse_zip_member(member: zipfile.ZipInfo, name: str) -> None:
    if member.flag_bits & _ENCRYPTED:
        raise RefusedInput(
            f"{name} is encrypted. Unpack it with its password and give the folder. "
            "[encrypted_archive]"
        )
    if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise _special_member(name, member.filename)


def _refuse_a_vast_directory(path: Path, intake: Intake) -> None:
    """Refuse a zip whose list of members alone would fill the memory."""
    allowed = _DIRECTORY_BYTES_PER_FILE * intake.limits.max_files
    with path.open("rb") as file:
        size = file.seek(0, 2)
        tail_bytes = min(size, _ZIP_END_BYTES + _LONGEST_ZIP_COMMENT + 2 * _ZIP64_END_BYTES)
        file.seek(size - tail_bytes)
        tail = file.read(tail_bytes)
    end = tail.rfind(_ZIP_END)
    if end < 0 or len(tail) < end + _ZIP_END_BYTES:
        raise zipfile.BadZipFile("its end is missing")
    (directory_bytes,) = struct.unpack_from("<L", tail, end + 12)
    end64 = end - _ZIP64_LOCATOR_BYTES - _ZIP64_END_BYTES
    if end64 >= 0 and tail[end64 : end64 + 4] == _ZIP64_END:
        (directory_bytes,) = struct.unpack_from("<Q", tail, end64 + 40)
    if directory_bytes > allowed:
        raise RefusedInput(
            f"{intake.name} lists more than {intake.limits.max_files} files. Give one study, or "
            "raise --max-files. [too_many_files]"
        )


def _unpack_tar(stream: Any, kind: Kind, intake: Intake) -> None:
    class Member(tarfile.TarInfo):
        """A header as Python reads it, that remembers the mark at the end of a tar file."""

        ended = False

        @classmethod
        def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
            if len(buf) == tarfile.BLOCKSIZE and not any(buf):
                Member.ended = True
            member = super().frombuf(buf, encoding, errors)
            if member.size < 0 or (
                member.type in _HEADER_TYPES and member.size > _LONGEST_HEADER_BYTES
            ):
                raise tarfile.ReadError(f"a header of {member.size} bytes")
            return member

    try:
        archive = tarfile.open(fileobj=stream, mode="r|", tarinfo=Member)  # noqa: SIM115
    except tarfile.ReadError as error:
        if kind == "tar":
            raise
        raise tarfile.ReadError(f"{kind} without a whole tar file in it") from error
    with archive:
        for member in archive:
            if member.isdir():
                intake.count()
                continue
            if not member.isreg() or member.issparse():
                raise _special_member(intake.name, member.name)
            file = archive.extractfile(member)
            assert file is not None  # a regular file has content
            intake.write(member.name, _whole(file, member.size))
        if not Member.ended:
            raise EOFError("its end is missing")
        # Reading to the end is what checks the sums of gzip and zstandard.
        rest: Any = archive.fileobj
        while chunk := rest.read(CHUNK_BYTES):
            if any(chunk):
                raise EOFError("more follows behind its end")


def _whole(file: IO[bytes], size: int) -> Iterator[bytes]:
    """The chunks of a member, which has to be as long as its header says."""
    left = size
    for chunk in chunks_from_file(file):
        left -= len(chunk)
        yield chunk
    if left:
        raise EOFError(f"a file lacks {left} bytes")


class _Metered:
    """A stream whose bytes are counted, those of headers and gaps included."""

    def __init__(self, stream: IO[bytes], intake: Intake) -> None:
        self._stream = stream
        self._intake = intake
        self._bytes = 0
        # Headers and padding of as many files as there may be, beside the files themselves.
        self._limit = intake.byte_limit + 4 * tarfile.BLOCKSIZE * intake.limits.max_files

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self._bytes += len(data)
        if self._bytes > self._limit:
            refuse_beyond(
                self._bytes, self._intake.byte_limit, self._intake.limits, self._intake.name
            )
        return data


def _opened(kind: Kind, packed: IO[bytes]) -> AbstractContextManager[IO[bytes]]:
    """The tar file inside, as a stream."""
    if kind == "gzip":
        return closing(cast(IO[bytes], gzip.GzipFile(fileobj=packed)))
    return _zstandard_stream(packed) if kind == "zstandard" else packed


@contextmanager
def _zstandard_stream(packed: IO[bytes]) -> Iterator[IO[bytes]]:
    try:
        import zstandard
    except ImportError as error:
        raise MissingExtra(
            "Reading a tar.zst needs zstandard: pip install 'ich-triton[zstd]'"
        ) from error
    decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTANDARD_WINDOW_BYTES)
    try:
        yield cast(IO[bytes], decompressor.stream_reader(packed, read_across_frames=True))
    except zstandard.ZstdError as error:
        raise EOFError(str(error)) from error


def _special_member(name: str, member: str) -> RefusedInput:
    return RefusedInput(
        f"{name} holds {member[:200]!r}, which is a link or a device and no file. Do not trust it; "
        "pack the study again with plain files. [unsafe_archive]"
    )


def _short(error: BaseException) -> str:
    return str(error).split("\n")[0][:120] or type(error).__name__
