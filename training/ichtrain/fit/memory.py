"""Peak memory of the running process."""

from __future__ import annotations

import resource
import sys


def peak_memory_mib() -> float:
    """Peak resident memory of this process since it began, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux counts in KiB, macOS in bytes.
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)
