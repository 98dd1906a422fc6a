"""Members on disk and prepared folders -> a run that can be released, or nothing at all."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from ichcore import spec_from_json
from ichexport.errors import IchExportError
from ichexport.members import Member, options_from_encoder
from ichexport.weights import released_from_trained, weights_to_file
from ichtrain.cli import main
from ichtrain.data import Prepared, PreparedWriter
from ichtrain.ensemble import EnsembleOptions, fit_ensemble
from ichtrain.ensemble.lineage import index_sha256
from ichtrain.errors import EnsembleError, OneClass, SplitLeak

from .conftest import GRID, KINDS, series_of

OPTIONS = EnsembleOptions(members=("strong", "weak"), folds=2)
OUTPUTS = {"ensemble.json", "ensemble.record.json", "ensemble.png", "golden_hu.npy"}


def _prepared(folder: Path, numbers: range, split: str = "validation", **changes: object) -> Path:
    writer = PreparedWriter(folder, GRID)
    for number in numbers:
        series = series_of(KINDS[number % len(KINDS)], number)
        writer.add(replace(series, split=split, **changes))  # type: ignore[arg-type]
    return folder


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _prepared(tmp_path_factory.mktemp("data") / "training", range(100, 102), "train")


@pytest.fixture(scope="module")
def validation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _prepared(tmp_path_factory.mktemp("data") / "validation", range(5))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A strong and a weak member that nobody trained."""
    import torch

    torch.manual_seed(0)
    files = {}
    for name in ("strong", "weak"):
        options = options_from_encoder(
            "mobilenet_v2", annotation=name, with_brain=name == "strong", grid=GRID
        )
        path = tmp_path_factory.mktemp("weights") / f"{name}.safetensors"
        weights_to_file(released_from_trained(Member(options)), path)
        files[name] = path.read_bytes()
    return files


@pytest.fixture
def run(tmp_path: Path, weights: dict[str, bytes], training: Path) -> Path:
    """A run as `ichtrain fit` leaves it."""
    folder = tmp_path / "run"
    folder.mkdir()
    for name, blob in weights.items():
        (folder / f"{name}.safetensors").write_bytes(blob)
        _record(folder, name, training)
    return folder


def _record(run: Path, name: str, trained_on: Path, **changes: object) -> None:
    blob = (run / f"{name}.safetensors").read_bytes()
    facts = {"name": trained_on.name, "index_sha256": index_sha256(Prepared(trained_on))}
    record = {
        "weights_sha256": hashlib.sha256(blob).hexdigest(),
        "options": {"subset": "all"},
        "data": {"folders": [facts]},
        **changes,
    }
    (run / f"{name}.json").write_text(json.dumps(record))


def _outputs(run: Path) -> set[str]:
    return {path.name for path in run.iterdir() if path.name in OUTPUTS or path.name[0] == "."}


def test_a_strong_and_a_weak_member_become_an_ensemble(
    run: Path, validation: Path, training: Path
) -> None:
    arguments = ["ensemble", str(run), str(validation), "--members", "strong,weak", "--folds", "2"]
    done = CliRunner().invoke(main, [*arguments, "--trained-on", str(training)])
    assert done.exit_code == 0, done.output
    assert "not a medical device" in done.output
    spec = spec_from_json((run / "ensemble.json").read_text())
    assert spec.grid == GRID, "the grid is that of the members"
    assert (spec.members[0].mask_weight, spec.members[1].mask_weight) == (1.0, 0.0)
    assert spec.provenance["members_saw_these_patients"] == "no, by their records"
    assert _outputs(run) == OUTPUTS
    golden = np.load(run / "golden_hu.npy")
    assert golden.dtype == np.float16
    assert golden.shape[1:] == (1, GRID.rows, GRID.columns)
    assert len(np.unique(golden.reshape(len(golden), -1), axis=0)) == len(golden) >= 3


def test_data_on_another_grid_than_the_members_are_refused(
    run: Path, tmp_path: Path, training: Path
) -> None:
    folder = _prepared(tmp_path / "coarse", range(2))
    other = replace(GRID, pixel_spacing_mm=4.0)
    (folder / "grid.json").write_text(json.dumps(vars(other), sort_keys=True))
    with pytest.raises(EnsembleError, match="members are on"):
        fit_ensemble(run, [folder], OPTIONS, trained_on=[training])


def test_patients_whom_a_member_trained_on_are_refused(run: Path, tmp_path: Path) -> None:
    seen = _prepared(tmp_path / "seen", range(5), "train", site="elsewhere")
    for name in OPTIONS.members:
        _record(run, name, seen)
    again = _prepared(tmp_path / "again", range(5))
    with pytest.raises(SplitLeak, match=r"Patient P\d is in"):
        fit_ensemble(run, [again], OPTIONS, trained_on=[seen])
    with pytest.raises(SplitLeak, match="'seen', which is not among the data"):
        fit_ensemble(run, [again], OPTIONS)
    with pytest.raises(SplitLeak, match="'train'"):
        fit_ensemble(run, [seen], EnsembleOptions("train", OPTIONS.members))
    assert not _outputs(run)


def test_a_member_of_unknown_origin_is_refused_unless_told(
    run: Path, validation: Path, training: Path
) -> None:
    _record(run, "weak", training, data={})
    with pytest.raises(SplitLeak, match=r"record of weak .* names no data"):
        fit_ensemble(run, [validation], OPTIONS, trained_on=[training])
    (run / "weak.json").unlink()
    with pytest.raises(SplitLeak, match="weak has no training record"):
        fit_ensemble(run, [validation], OPTIONS, trained_on=[training])
    spec = fit_ensemble(run, [validation], OPTIONS, unchecked=True)
    assert spec.provenance["members_saw_these_patients"] == "not checked"


def test_a_record_of_other_weights_is_refused(run: Path, validation: Path, training: Path) -> None:
    _record(run, "weak", training, weights_sha256="0" * 64)
    with pytest.raises(EnsembleError, match="record of other weights"):
        fit_ensemble(run, [validation], OPTIONS, trained_on=[training])


def test_a_folder_named_twice_is_refused(run: Path, validation: Path, training: Path) -> None:
    with pytest.raises(EnsembleError, match="count double"):
        fit_ensemble(run, [validation, validation], OPTIONS, trained_on=[training])


def test_a_split_of_one_class_is_refused(run: Path, tmp_path: Path, training: Path) -> None:
    normal = _prepared(tmp_path / "normal", range(1))
    with pytest.raises(OneClass, match="with blood"):
        fit_ensemble(run, [normal], OPTIONS, trained_on=[training])


def test_a_member_that_is_absent_is_named(run: Path, validation: Path, training: Path) -> None:
    _record(run, "strong", training)
    (run / "weak.safetensors").unlink()
    with pytest.raises(EnsembleError, match=r"weak\.safetensors is absent"):
        fit_ensemble(run, [validation], OPTIONS, trained_on=[training])


def test_a_full_disk_leaves_nothing_half_written(
    run: Path, validation: Path, training: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []

    def full(handle: int) -> None:
        synced.append(handle)
        if len(synced) == len(OUTPUTS):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(IchExportError, match=r"ensemble\.json cannot be written .*No space left"):
        fit_ensemble(run, [validation], OPTIONS, trained_on=[training])
    assert _outputs(run) == OUTPUTS - {"ensemble.json"}, "no spec, and no scrap of one"
