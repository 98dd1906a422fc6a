"""A table of made studies, and a folder that was accepted on a server without a server."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ichclient.acceptance import run
from ichclient.acceptance.labels import labels_from_file
from ichclient.acceptance.record import Acceptance
from ichclient.acceptance.run import Asked, acceptance_from_labels
from ichclient.connect import ProvenServer, ServerOptions
from ichcore import spec_to_json
from ichcore.reference import Calls, PointCalls, Reference, reference_to_json

HU_OF = {"low": 20, "middle": 35, "high": 60}
"""Of the brain in a made study: the fake server's score rises with it."""


@pytest.fixture
def server(
    proven: ProvenServer, fake_transport: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> ProvenServer:
    """The fake server, whose spec and reference are at hand."""
    spec = fake_transport.spec
    version = tmp_path / "repository" / "ich_study" / "1"
    version.mkdir(parents=True)
    (version / "ensemble.json").write_text(spec_to_json(spec))
    reference = Reference(
        name="fake 1",
        spec_sha256=spec.sha256,
        about="5 series of elsewhere",
        evaluation_sha256="e" * 64,
        points=(PointCalls("balanced", 0.5, Calls(2, 1, 0, 0), Calls(0, 2, 0, 0)),),
        bleeds=(0.4, 0.7, 0.9),
        clean=(0.1, 0.3),
    )
    (tmp_path / "repository" / "reference.json").write_text(reference_to_json(reference))
    given = replace(proven, repository=tmp_path / "repository")

    @contextmanager
    def proven_server(_: ServerOptions, **__: object) -> Any:
        yield given

    monkeypatch.setattr(run, "proven_server", proven_server)
    return given


@pytest.fixture
def studies(make_series: Callable[..., Path], made_hu: Any, tmp_path: Path) -> Path:
    """Three studies whose scores rise in the order low, middle, high, and one that is no study."""
    folder = tmp_path / "studies"
    for place, (name, hu) in enumerate(HU_OF.items()):
        brain = np.where(made_hu == 35, hu, made_hu).astype(np.int16)
        uid = f"1.2.3.4.{place}"
        make_series(folder / name, hu=brain, SeriesInstanceUID=uid, StudyInstanceUID=f"1.2.{place}")
    (folder / "Doe^Jane").mkdir()
    (folder / "Doe^Jane" / "note.txt").write_text("no DICOM")
    return folder


TABLE = """study,haemorrhage,case,subtypes,volume_ml
low,no,,,
middle,yes,M-1,sdh;iph,12.5
high,yes,,,
Doe^Jane,yes,lost-1,,
"""


@pytest.fixture
def table(studies: Path) -> Path:
    (studies / "labels.csv").write_text(TABLE)
    return studies / "labels.csv"


@pytest.fixture
def accept(server: ProvenServer) -> Callable[..., Acceptance]:
    """Runs an acceptance on the fake server."""

    def accepted(table: Path, out: Path, asked: Asked | None = None, **more: Any) -> Acceptance:
        labels = labels_from_file(table)
        return acceptance_from_labels(labels, out, ServerOptions(), asked or Asked(), **more)

    return accepted


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the one acceptance is kept that tests take copies of."""
    return Path(tmp_path_factory.mktemp("finished")) / "out"


@pytest.fixture
def accepted(
    accept: Callable[..., Acceptance], table: Path, tmp_path: Path, finished: Path
) -> Path:
    """The folder of a finished acceptance, this test's own."""
    if not finished.exists():
        accept(table, finished)
    shutil.copytree(finished, tmp_path / "out")
    return tmp_path / "out"
