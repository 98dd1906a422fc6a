"""Child processes that decode compressed pixels, kept for as long as this process lives.

A child needs a third of a second to start, so it is started when the first long series is known
and serves every later one; until it is ready this process decodes by itself.
"""

from __future__ import annotations

import atexit
import functools
import threading
from typing import Any

from numpy.typing import NDArray

from ichclient.decoder import DecoderProcess, Encoding, values_from_bytes


class DecoderPool:
    """As many children as threads want to decode at one time; safe to share between threads."""

    def __init__(self, count: int) -> None:
        self._children = [DecoderProcess() for _ in range(count)]
        self._idle = list(self._children)
        self._lock = threading.Lock()

    def decode(self, data: bytes, encoding: Encoding) -> NDArray[Any]:
        """Decode a plane: by a child that is ready and idle, else here. Raises DecodeError."""
        child = self._taken() if encoding.encapsulated else None
        if child is None:
            return values_from_bytes(data, encoding)
        try:
            return child.values(data, encoding)
        finally:
            with self._lock:
                self._idle.append(child)

    def wait(self) -> None:
        """Return when every child is ready."""
        for child in self._children:
            child.wait()

    def close(self) -> None:
        """End all children."""
        for child in self._children:
            child.close()

    def _taken(self) -> DecoderProcess | None:
        with self._lock:
            child = next((child for child in self._idle if child.is_ready), None)
            if child is not None:
                self._idle.remove(child)
        return child


@functools.cache
def decoder_pool(count: int) -> DecoderPool:
    """The pool of so many children of this process; they end with it."""
    pool = DecoderPool(count)
    atexit.register(pool.close)
    return pool
