"""Encoded plane -> stored values, in this process or in one of its own.

A child process is `python -m ichclient.decoder`. Decoders of compressed pixels hold Python's lock,
so threads do not make them faster, and they can crash on broken bytes: a child that crashes or
hangs is ended, and costs one coded refusal.
"""

from __future__ import annotations

import json
import os
import selectors
import struct
import subprocess
import sys
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ichclient.frames import BIG_ENDIAN_SYNTAX

DECODE_LIMIT_S = 60.0
_LENGTHS = struct.Struct("<LQ")
# The fastest first; pydicom's own order is the last resort. Measured on 512 x 512 head CT.
_PREFERRED = ("pylibjpeg", "pyjpegls")
_EXTENDED_SYNTAX = "1.2.840.10008.1.2.4.51"
_PIPE_BYTES = 2**20
_START = b"\xfe\xff\x00\xe0\x00\x00\x00\x00\xfe\xff\x00\xe0"
_END = b"\xfe\xff\xdd\xe0\x00\x00\x00\x00"


class DecodeError(Exception):
    """The bytes could not be decoded; the text is a short reason without any of their values."""


@dataclass(frozen=True)
class Encoding:
    """What a decoder must know of a plane: DICOM's own attributes."""

    transfer_syntax_uid: str
    encapsulated: bool
    pixel_keyword: str
    pixel_vr: str
    rows: int
    columns: int
    bits_allocated: int
    bits_stored: int
    pixel_representation: int
    photometric_interpretation: str
    samples_per_pixel: int = 1


def values_from_bytes(data: bytes, encoding: Encoding) -> NDArray[Any]:
    """Decode one plane [rows, columns] in this process, unused bits left as they are.

    Raises DecodeError.
    """
    if _is_plain(encoding):
        return _plain_values(data, encoding)
    from pydicom.pixels.decoders.base import get_decoder

    if encoding.transfer_syntax_uid == _EXTENDED_SYNTAX and encoding.bits_stored == 12:
        return _extended_12_bit(data, encoding)
    options: dict[str, Any] = asdict(encoding)
    options |= {"number_of_frames": 1, "correct_unused_bits": False}
    if options.pop("encapsulated"):
        even = data + b"\0" * (len(data) % 2)
        data = _START + struct.pack("<L", len(even)) + even + _END
    decoder = get_decoder(options.pop("transfer_syntax_uid"))
    if encoding.pixel_keyword != "PixelData":  # pydicom refuses what means nothing to floats
        options.pop("pixel_representation")
    named = [name for name in _PREFERRED if name in decoder.available_plugins]
    for plugin in (*named, ""):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                values, _ = decoder.as_array(
                    data,
                    index=0,
                    decoding_plugin=plugin,
                    **options,
                )
            return values
        except Exception as error:  # each codec raises its own kinds
            if not plugin:
                raise DecodeError(type(error).__name__) from error
    raise AssertionError("the loop ends by answer or error")


def _is_plain(encoding: Encoding) -> bool:
    """Whole numbers of 16 bits as they are: nearly all uncompressed CT."""
    return (
        not encoding.encapsulated
        and encoding.bits_allocated == 16
        and encoding.samples_per_pixel == 1
        and encoding.pixel_keyword == "PixelData"
    )


def _plain_values(data: bytes, encoding: Encoding) -> NDArray[Any]:
    """A view on the bytes, without a copy."""
    order = ">" if encoding.transfer_syntax_uid == BIG_ENDIAN_SYNTAX else "<"
    kind = "i" if encoding.pixel_representation == 1 else "u"
    if len(data) != 2 * encoding.rows * encoding.columns:
        raise DecodeError("too few bytes")
    return np.frombuffer(data, f"{order}{kind}2").reshape(encoding.rows, encoding.columns)


def _extended_12_bit(data: bytes, encoding: Encoding) -> NDArray[Any]:
    """12-bit JPEG Extended by GDCM, which pydicom does not ask for it; equal to DCMTK's answer."""
    try:
        import gdcm
    except ImportError as error:
        raise DecodeError("12-bit JPEG Extended needs python-gdcm") from error
    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(data + b"\0" * (len(data) % 2))
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((encoding.columns, encoding.rows, 1))
    image.SetDataElement(element)
    kind = gdcm.PhotometricInterpretation.GetPIType(encoding.photometric_interpretation)
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(kind))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGExtendedProcess2_4))
    image.SetPixelFormat(gdcm.PixelFormat(1, 16, 12, 11, encoding.pixel_representation))
    try:
        # GDCM gives its bytes as text.
        values = np.frombuffer(image.GetBuffer().encode("utf-8", "surrogateescape"), "<u2")
        return values.reshape(encoding.rows, encoding.columns)
    except ValueError as error:
        raise DecodeError(type(error).__name__) from error


class DecoderProcess:
    """A child process that decodes for one thread at a time."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = _started()
        self._greeted = False

    @property
    def is_ready(self) -> bool:
        """Whether the child has imported what it needs; asking does not wait."""
        if not self._greeted and self._child is not None and self._child.stdout is not None:
            self._greeted = _has_said_something(self._child.stdout, 0)
        return self._greeted

    def wait(self) -> None:
        """Return when it is ready, or has ended."""
        if self._child is not None and self._child.stdout is not None and not self._greeted:
            self._greeted = _has_said_something(self._child.stdout, DECODE_LIMIT_S)

    def values(self, data: bytes, encoding: Encoding) -> NDArray[Any]:
        """Decode one plane in the child. Raises DecodeError, also where the child is lost."""
        if self._child is None:
            self._child = _started()
        child = self._child
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            head = json.dumps(asdict(encoding)).encode()
            _write(child.stdin, _LENGTHS.pack(len(head), len(data)) + head)
            _write(child.stdin, data)
            answer: dict[str, Any] = {"ready": True}
            self._greeted = True  # it is waited for here
            while "ready" in answer:
                if not _has_said_something(child.stdout, DECODE_LIMIT_S):
                    raise TimeoutError
                answer, body = _message(child.stdout)
        except (OSError, EOFError, TimeoutError) as error:
            self.close()
            how = "did not end in time" if isinstance(error, TimeoutError) else "crashed"
            raise DecodeError(f"the decoder {how}") from error
        if "error" in answer:
            raise DecodeError(answer["error"])
        return np.frombuffer(body, answer["dtype"]).reshape(answer["shape"])

    def close(self) -> None:
        """End the child, whatever it is doing."""
        child, self._child = self._child, None
        self._greeted = False
        if child is not None:
            child.kill()
            child.wait()
            for pipe in (child.stdin, child.stdout):
                if pipe is not None:
                    try:
                        pipe.close()
                    except OSError:  # what was not yet written has nobody to read it
                        continue


def _started() -> subprocess.Popen[bytes]:
    package = str(Path(__file__).resolve().parents[1])
    path = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH", ""))))
    child = subprocess.Popen(
        [sys.executable, "-m", "ichclient.decoder"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": path},
        bufsize=0,
        start_new_session=True,  # Ctrl-C is the parent's to answer
    )
    for pipe in (child.stdin, child.stdout):
        _widen(pipe)
    return child


def _widen(pipe: Any) -> None:
    """Let a whole plane fit into a pipe, where the system allows it: fewer turns to and fro."""
    try:
        import fcntl

        fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    except (ImportError, AttributeError, OSError):
        return


def _has_said_something(pipe: Any, within_s: float) -> bool:
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        return bool(selector.select(within_s))


def _message(pipe: Any) -> tuple[dict[str, Any], bytearray]:
    """Read one message: lengths, JSON, bytes. Raises EOFError."""
    head_bytes, body_bytes = _LENGTHS.unpack(_exactly(pipe, _LENGTHS.size))
    head = json.loads(_exactly(pipe, head_bytes))
    return head, _exactly(pipe, body_bytes)


def _exactly(pipe: Any, count: int) -> bytearray:
    data = bytearray(count)
    left = memoryview(data)
    while left:
        got = pipe.readinto(left)
        if not got:
            raise EOFError
        left = left[got:]
    return data


def _write(pipe: Any, data: bytes) -> None:
    """All of it: an unbuffered pipe may take a part."""
    left = memoryview(data)
    while left:
        left = left[pipe.write(left) :]


def _answer(data: bytes, encoding: Encoding) -> tuple[Mapping[str, Any], bytes | memoryview]:
    try:
        values = values_from_bytes(data, encoding)
    except DecodeError as error:
        return {"error": str(error)}, b""
    return {"dtype": values.dtype.str, "shape": values.shape}, np.ascontiguousarray(
        values
    ).data.cast("B")


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Say that imports are done, then answer requests one by one until there are no more."""
    from pydicom.pixels.decoders import base  # noqa: F401 - now, not with the first plane

    _say(answers, {"ready": True}, b"")
    while True:
        try:
            head, data = _message(requests)
        except EOFError:
            return
        _say(answers, *_answer(bytes(data), Encoding(**head)))


def _say(answers: BinaryIO, said: Mapping[str, Any], body: bytes | memoryview) -> None:
    text = json.dumps(said).encode()
    answers.write(_LENGTHS.pack(len(text), len(body)) + text)
    answers.write(body)
    answers.flush()


def _main() -> None:
    """Keep the pipe for answers alone: decoders print what they dislike."""
    kept = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    with os.fdopen(kept, "wb") as answers:
        serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    _main()
