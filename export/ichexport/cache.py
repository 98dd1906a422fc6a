"""Engines that were built once, kept by what they were built from.

The key is the content of the graph, the options, the calibration slices and the versions of the
libraries; nothing is ever served from here without its hash being checked.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ichexport.files import written_whole
from ichexport.manifest import sha256_from_file
from ichexport.routes.route import Built

_FACTS = "built.json"


def default_cache() -> Path:
    """`ich-triton/engines` in the user's cache folder."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home) / "ich-triton" / "engines"


def key_from_parts(parts: Mapping[str, Any]) -> str:
    """SHA-256 over everything that an engine depends on."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def cached(cache: Path, key: str, folder: Path) -> Built | None:
    """Copy the engine of `key` into `folder`; None where it was not built yet, or is damaged."""
    try:
        facts = json.loads((cache / key / _FACTS).read_text())
        engine = cache / key / facts["built"]["engine"]
        if sha256_from_file(engine) != facts["engine_sha256"]:
            return None
        shutil.copyfile(engine, folder / engine.name)
        return Built(**{**facts["built"], "engine": folder / engine.name})
    except (OSError, KeyError, TypeError, ValueError):
        return None


def keep(cache: Path, key: str, built: Built) -> None:
    """Keep an engine; what is half written is never found, since its facts come last."""
    try:
        (cache / key).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache / key) as scratch:
            copy = Path(scratch) / built.engine.name
            shutil.copyfile(built.engine, copy)
            copy.replace(cache / key / built.engine.name)
    except OSError:
        return  # a cache that is full or read-only costs time, not a build
    facts = {
        "engine_sha256": sha256_from_file(built.engine),
        "built": {**asdict(built), "engine": built.engine.name},
    }
    written_whole(cache / key / _FACTS, json.dumps(facts, indent=2, sort_keys=True).encode())
