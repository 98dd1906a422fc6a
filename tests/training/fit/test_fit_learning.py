"""A member learns what it is shown, and its record tells what its weights do."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from ichexport.members import ENCODERS
from ichexport.parity import torch_from_member
from ichexport.weights import member_from_file
from ichtrain.data import Prepared
from ichtrain.data.items import items_hu
from ichtrain.errors import FitError
from ichtrain.fit import FitOptions, FitRecord, fit_member
from ichtrain.fit.validation import study_auc

Quick = Callable[..., FitOptions]
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module", params=["strong", "weak"])
def learnt(
    request: pytest.FixtureRequest, discs: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, FitRecord]:
    """A run folder with a member that had some seconds to learn the disc."""
    run = tmp_path_factory.mktemp(request.param)
    options = FitOptions(
        name="ich_any", annotation=request.param, epochs=3, steps_per_epoch=30, batch_size=8,
        learning_rate=4e-3, workers=0, device="cpu",
    )  # fmt: skip
    return run, fit_member([discs], run, options)


def test_a_disc_is_learnt(learnt: tuple[Path, FitRecord]) -> None:
    _, record = learnt
    assert record.best.study_auc > 0.9
    assert record.best.slice_auc is not None
    assert record.best.slice_auc > 0.9


def test_the_released_weights_give_the_auc_of_the_record(
    learnt: tuple[Path, FitRecord], discs: Path
) -> None:
    run, record = learnt
    runner = torch_from_member(member_from_file(run / "ich_any.safetensors"))
    series = list(Prepared(discs).split("validation"))
    logits = [runner(items_hu(one, 1))["LOGIT"][:, 0].astype(np.float64) for one in series]
    assert study_auc(series, logits) == pytest.approx(record.best.study_auc, abs=0.07)


def test_a_strong_member_marks_the_disc(learnt: tuple[Path, FitRecord], discs: Path) -> None:
    run, record = learnt
    runner = torch_from_member(member_from_file(run / "ich_any.safetensors"))
    series = list(Prepared(discs).split("validation"))
    outputs = [runner(items_hu(one, 1)) for one in series]
    if record.options["annotation"] == "weak":
        assert set().union(*outputs) == {"LOGIT"}
        return
    truth = np.concatenate([np.asarray(one.lesion) > 127 for one in series]).ravel()
    mask = np.concatenate([output["MASK"] for output in outputs]).ravel()
    # A few seconds teach the order of pixels, not yet the level of their probability.
    assert roc_auc_score(truth, mask) > 0.85


def test_record_curves_and_picture_are_of_this_run(learnt: tuple[Path, FitRecord]) -> None:
    run, record = learnt
    document = json.loads((run / "ich_any.json").read_text())
    assert document["weights_sha256"] == record.weights_sha256
    assert document["data"]["training_series"] == 12
    assert document["slices_per_second"] > 0
    rows = list(csv.DictReader((run / "ich_any.curves.csv").read_text().splitlines()))
    assert [float(row["train_loss"]) for row in rows] == pytest.approx(
        [figures.train_loss for figures in record.epochs], rel=1e-4
    )
    assert record.epochs[-1].train_loss < record.epochs[0].train_loss
    assert (run / "ich_any.png").read_bytes().startswith(PNG)
    names = {path.name for path in run.iterdir()}
    assert names == {f"ich_any.{end}" for end in ("json", "curves.csv", "png", "safetensors")}


@pytest.mark.parametrize("annotation", ["strong", "weak"])
@pytest.mark.parametrize("encoder", ENCODERS)
def test_every_encoder_takes_a_step(
    encoder: str, annotation: str, discs: Path, quick: Quick, tmp_path: Path
) -> None:
    options = quick(
        encoder=encoder, annotation=annotation, epochs=1, steps_per_epoch=1, batch_size=2
    )
    record = fit_member([discs], tmp_path, options)
    assert record.member_options["encoder"] == encoder
    assert np.isfinite(record.best.train_loss)
    assert member_from_file(tmp_path / "ich_any.safetensors").options.annotation == annotation


def test_labels_of_studies_are_spread_over_slices(
    tmp_path: Path, quick: Quick, study_discs: Path
) -> None:
    record = fit_member([study_discs], tmp_path, quick(annotation="weak", epochs=1))
    # Every slice of a study with blood counts as positive, and none of its slices has a label
    # of its own, so no AUC over slices can be given.
    assert record.data["training_slices"] == {"positive": 24, "negative": 24}
    assert record.best.slice_auc is None


def test_a_member_starts_from_the_weights_it_is_given(
    learnt: tuple[Path, FitRecord], discs: Path, tmp_path: Path
) -> None:
    run, before = learnt
    options = FitOptions(
        name="ich_sdh", annotation=before.options["annotation"], subset="sdh", epochs=1,
        steps_per_epoch=1, batch_size=4, learning_rate=1e-6, workers=0, device="cpu",
        start=run / "ich_any.safetensors",
    )  # fmt: skip
    after = fit_member([discs], tmp_path, options)
    # One step at a tiny rate: what was learnt must still be there.
    assert after.best.study_auc > 0.85


def test_the_start_must_be_the_same_network(
    learnt: tuple[Path, FitRecord], discs: Path, quick: Quick, tmp_path: Path
) -> None:
    run, _ = learnt
    start = run / "ich_any.safetensors"
    with pytest.raises(FitError, match=r"ich_any\.safetensors is a network .*vgg19"):
        fit_member([discs], tmp_path, quick(encoder="vgg19", start=start))
    assert not list(tmp_path.iterdir())


def test_training_stops_when_validation_no_longer_improves(
    learnt: tuple[Path, FitRecord], discs: Path, quick: Quick, tmp_path: Path
) -> None:
    run, before = learnt
    options = quick(
        annotation=before.options["annotation"], start=run / "ich_any.safetensors",
        epochs=12, steps_per_epoch=1, patience=2, learning_rate=1e-9,
    )  # fmt: skip
    record = fit_member([discs], tmp_path, options)
    assert len(record.epochs) < 12
    assert record.best.epoch <= len(record.epochs) - 2
