"""What `ich_study` counts of the studies it judges, and that counting never stands in its way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ichcore import EnsembleSpec, SliceScores, study_from_slices
from ichcore.reference import SCORE_EDGES, reference_from_json


def values(backend: Any, name: str) -> dict[tuple[str, ...], float]:
    """Every value of a family by its labels but the spec's, in the order of their names."""
    (family,) = (family for family in backend.MetricFamily.every if family.name == name)
    return {
        tuple(value for key, value in sorted(metric.labels.items()) if key != "spec"): metric.value
        for metric in family.metrics
    }


def test_scores_and_decisions_are_counted(
    load_model: Callable[..., Any],
    released_spec: EnsembleSpec,
    make_series_scores: Callable[..., SliceScores],
    study_request: Callable[..., Any],
) -> None:
    loaded = load_model("ich_study")
    scores = []
    for level in (0.02, 0.5, 1.0):
        series = make_series_scores(score=np.full(30, level, dtype=np.float32))
        loaded.answer(study_request(series))
        scores.append(study_from_slices(series, released_spec).score)
    few = make_series_scores(3, score=np.zeros(3, dtype=np.float32))
    loaded.answer(study_request(few))
    scores.append(0.0)
    buckets = values(loaded.backend, "ich_study_score_bucket")
    for edge in SCORE_EDGES:
        assert buckets[(f"{edge:g}",)] == sum(score <= edge for score in scores)
    assert buckets[("+Inf",)] == 4
    assert values(loaded.backend, "ich_study_score_count") == {(): 4}
    assert values(loaded.backend, "ich_study_score_sum")[()] == pytest.approx(sum(scores))
    decisions = values(loaded.backend, "ich_study_decisions_total")
    assert decisions[("positive", "balanced")] == 2
    assert decisions[("negative", "balanced")] == 1
    assert decisions[("indeterminate", "balanced")] == 1
    assert sum(decisions.values()) == 4 * len(released_spec.operating_points)


def test_a_refused_study_is_counted_as_such(
    load_model: Callable[..., Any],
    make_series_scores: Callable[..., SliceScores],
    study_request: Callable[..., Any],
) -> None:
    loaded = load_model("ich_study")
    request = study_request(make_series_scores())
    request["SCORE"] = np.full(30, np.nan, dtype=np.float32)
    loaded.refusal(request)
    assert values(loaded.backend, "ich_study_refused_total") == {(): 1}
    assert values(loaded.backend, "ich_study_score_count") == {(): 0}


def test_the_model_cards_scores_stand_beside_them(
    load_model: Callable[..., Any], bundle: Path
) -> None:
    backend = load_model("ich_study").backend
    reference = reference_from_json((bundle / "reference.json").read_text())
    shares = values(backend, "ich_reference_score_share")
    for truth, scores in (("bleed", reference.bleeds), ("clean", reference.clean)):
        below_half = sum(score <= 0.5 for score in scores) / len(scores)
        assert shares[("0.5", truth)] == pytest.approx(below_half)
        assert values(backend, "ich_reference_studies")[(truth,)] == len(scores)


@pytest.mark.parametrize("how", ["no metrics", "an increment fails", "no reference"])
def test_counting_never_breaks_a_request(
    load_model: Callable[..., Any],
    make_series_scores: Callable[..., SliceScores],
    study_request: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    how: str,
) -> None:
    import sys

    request = study_request(make_series_scores())
    expected = load_model("ich_study").answer(request)
    backend = sys.modules["triton_python_backend_utils"]
    if how == "no metrics":
        monkeypatch.setattr(backend.MetricFamily, "broken", True)
    elif how == "an increment fails":

        def fails(*_: object) -> None:
            raise RuntimeError("the server's memory is gone")

        monkeypatch.setattr(backend.Metric, "increment", fails)
    else:
        monkeypatch.setattr(Path, "is_file", lambda _: False)
    loaded = load_model("ich_study")
    for _ in range(2):
        found = loaded.answer(request)
        for name, value in expected.items():
            np.testing.assert_array_equal(found[name], value)
    spoilt = {**request, "SCORE": request["SCORE"] * np.float32("nan")}
    assert "not finite" in loaded.refusal(spoilt)
    assert len(backend.Logger.warnings) == (0 if how == "no reference" else 1)
