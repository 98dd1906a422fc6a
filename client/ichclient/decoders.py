"""Child processes that decode compressed pixels, kept for as long as this process lives.

Decoders of the JPEG family are native code that can crash on broken bytes (a fuzz test has seen
it), so they never run in this process. RLE is Python's own: it is safe anywhere, and goes to
children once there are some. A child needs a third of a second to start and serves every later
series.
"""

from __future__ import annotations

import atexit
import os
import threading
from typing import Any

from numpy.typing import NDArray

from ichclient.decoder import DecoderProcess, Encoding, values_from_bytes

_RLE_SYNTAX = "1.2.840.10008.1.2.5"


class DecoderPool:
    """Children, and which of them are idle; safe to share between threads."""

    def __init__(self) -> None:
        self._children: list[DecoderProcess] = []
        self._idle: list[DecoderProcess] = []
        self._changed = threading.Condition()

    def grow(self, count: int) -> None:
        """Start children until there are `count`; they get ready meanwhile."""
        with self._changed:
            while len(self._children) < count:
                child = DecoderProcess()
                self._children.append(child)
                self._idle.append(child)
                self._changed.notify()

    @property
    def is_warm(self) -> bool:
        """Whether a child is ready: then this is not the first series, nor likely the last."""
        return any(child.is_ready for child in self._children)

    def decode(self, data: bytes, encoding: Encoding) -> NDArray[Any]:
        """Decode one plane. Raises DecodeError, also where a child is lost over it."""
        if not encoding.encapsulated:
            return values_from_bytes(data, encoding)
        child = self._taken(isolated=encoding.transfer_syntax_uid != _RLE_SYNTAX)
        if child is None:
            return values_from_bytes(data, encoding)
        try:
            return child.values(data, encoding)
        finally:
            with self._changed:
                self._idle.append(child)
                self._changed.notify()

    def wait(self) -> None:
        """Return when every child is ready."""
        for child in self._children:
            child.wait()

    def close(self) -> None:
        """End all children."""
        for child in self._children:
            child.close()

    def _taken(self, *, isolated: bool) -> DecoderProcess | None:
        """An idle child, if possible one that is ready; None where none is and none has to be."""
        if isolated:
            self.grow(1)
        with self._changed:
            if not isolated and not any(child.is_ready for child in self._children):
                return None
            while not self._idle:
                self._changed.wait()
            child = next((child for child in self._idle if child.is_ready), self._idle[0])
            self._idle.remove(child)
        return child


_pool = DecoderPool()


def decoder_pool() -> DecoderPool:
    """The pool of this process; it ends with it."""
    return _pool


def isolated_values(data: bytes, encoding: Encoding) -> NDArray[Any]:
    """Decode one plane where a crash costs nothing but that plane. Raises DecodeError."""
    return _pool.decode(data, encoding)


def _forget() -> None:
    """After a fork the children are the parent's: two may not talk to one."""
    global _pool
    _pool = DecoderPool()


atexit.register(lambda: _pool.close())
os.register_at_fork(after_in_child=_forget)
