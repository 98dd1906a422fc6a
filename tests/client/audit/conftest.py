"""An audit log of a few events, written once, and copies of it to be damaged."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ichclient.audit.log import AuditLog

LINES = 12


@pytest.fixture(scope="session")
def written(tmp_path_factory: Any) -> Path:
    folder = Path(tmp_path_factory.mktemp("station"))
    log = AuditLog(folder)
    log.write("started", version="0.1.0")
    for number in range(LINES - 1):
        log.write("received", study=f"{number:020x}", images=32, score=0.25, reason=None)
    return folder


@pytest.fixture
def copied(written: Path, tmp_path: Path) -> Callable[[], Path]:
    made: list[Path] = []

    def copy() -> Path:
        made.append(Path(shutil.copytree(written, tmp_path / f"copy{len(made)}")))
        return made[-1]

    return copy
