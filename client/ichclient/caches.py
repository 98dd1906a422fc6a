"""Where a user's things lie that may be removed at any time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def cache_folder(environment: Mapping[str, str]) -> Path:
    """$XDG_CACHE_HOME/ich-triton, by default ~/.cache/ich-triton."""
    home = environment.get("HOME") or Path.home()
    return Path(environment.get("XDG_CACHE_HOME") or Path(home) / ".cache") / "ich-triton"
