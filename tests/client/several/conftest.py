"""Archives of small studies, and a server that is none behind every start of one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from ichclient import warm
from ichclient.connect import ProvenServer, ServerOptions

FEW = [10.0 * index for index in range(11)]
"""Heights of slices: few, and yet a study that is judged."""


@dataclass
class Starts:
    """How often a server was started, and what keeps the next one from starting."""

    count: int = 0
    failures: list[Exception] = field(default_factory=list)


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch, proven: ProvenServer) -> Starts:
    """Whoever starts a server gets the fake one."""
    told = Starts()

    @contextmanager
    def proven_server(_: ServerOptions, **__: object) -> Iterator[ProvenServer]:
        told.count += 1
        if told.failures:
            raise told.failures.pop()
        yield replace(proven, pid=os.getpid())  # an embedded server that runs

    monkeypatch.setattr(warm, "proven_server", proven_server)
    return told


@pytest.fixture
def archive(make_series: Callable[..., Path], tmp_path: Path) -> Path:
    """Three studies whose folders are named as archives often are; the second is refused."""
    for number, heights in ((1, FEW), (2, [0.0, 5.0]), (3, FEW)):
        make_series(
            tmp_path / "archive" / f"DOE^JANE^{number}",
            heights,
            StudyInstanceUID=f"1.2.{number}",
            SeriesInstanceUID=f"1.2.{number}.4",
            PatientID=f"MRN-{number}",
            PatientName=f"DOE^JANE^{number}",
        )
    return tmp_path / "archive"


@pytest.fixture
def add_study(make_series: Callable[..., Path]) -> Callable[..., Path]:
    """A further study in a folder, by its number."""

    def add(folder: Path, number: int, **tags: Any) -> Path:
        own = {"StudyInstanceUID": f"1.2.{number}", "SeriesInstanceUID": f"1.2.{number}.4", **tags}
        return make_series(folder, FEW, **own)

    return add
