"""The C library's allocator, told to keep what a study needs over and over.

Slices are arrays of a megabyte. By default glibc gives such memory back at once and fetches it
again from the kernel, which empties it page by page: that was half of the client's work on
uncompressed slices.
"""

from __future__ import annotations

import contextlib
import ctypes

_MIB = 1024 * 1024
# malloc.h; glibc takes no larger M_MMAP_THRESHOLD.
_M_TRIM_THRESHOLD, _KEPT_BYTES = -1, 64 * _MIB
_M_MMAP_THRESHOLD, _LARGEST_KEPT_BYTES = -3, 32 * _MIB


def keep_memory() -> None:
    """Keep up to 64 MiB that is free for the next slices; without glibc nothing changes."""
    with contextlib.suppress(AttributeError, OSError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_KEPT_BYTES)
