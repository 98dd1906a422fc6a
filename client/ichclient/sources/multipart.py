"""A multipart body that arrives in pieces -> its parts, in pieces, without keeping any whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from email.message import Message

_LONGEST_HEADERS_BYTES = 64 << 10


def boundary_from_content_type(content_type: str) -> bytes | None:
    """The boundary of a multipart body; None where the body is not of several parts."""
    message = Message()
    message["Content-Type"] = content_type
    if message.get_content_maintype() != "multipart":
        return None
    return (message.get_boundary() or "").encode("ascii", "replace") or None


def parts_from_multipart(chunks: Iterable[bytes], boundary: bytes) -> Iterator[Iterator[bytes]]:
    """Each part's content as an iterator, to be read before the next part is asked for.

    Raises EOFError where the body ends before its last boundary, and ValueError for headers
    without an end.
    """
    delimiter = b"\r\n--" + boundary
    stream = _Stream(chunks)
    for _ in stream.until(delimiter):
        pass  # what stands before the first boundary means nothing
    while stream.take(2) != b"--":
        headers = 0
        for piece in stream.until(b"\r\n\r\n"):
            headers += len(piece)
            if headers > _LONGEST_HEADERS_BYTES:
                raise ValueError("a part's headers have no end")
        content = stream.until(delimiter)
        yield content
        for _ in content:
            pass


class _Stream:
    """Bytes that arrive in pieces, read up to a mark."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        # The first boundary needs no line end before it.
        self._waiting = b"\r\n"

    def until(self, mark: bytes) -> Iterator[bytes]:
        """Everything before `mark`, which is read and left out."""
        while (at := self._waiting.find(mark)) < 0:
            keep = len(mark) - 1
            if len(self._waiting) > keep:
                ready = self._waiting[: len(self._waiting) - keep]
                self._waiting = self._waiting[len(ready) :]
                yield ready
            self._waiting += self._next()
        before, self._waiting = self._waiting[:at], self._waiting[at + len(mark) :]
        yield before

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        while len(self._waiting) < count:
            self._waiting += self._next()
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        # A part without headers has its empty line at once.
        if taken == b"\r\n":
            self._waiting = taken + self._waiting
        return taken

    def _next(self) -> bytes:
        for chunk in self._chunks:
            return chunk
        raise EOFError("the answer ends early")
