"""Trained networks and the test split -> study scores, kept on disk network by network.

A comparator's study score is the highest logit of a study after smoothing over neighbours, the
rule that the ensemble begins with; the ensemble's is that of its own fitted rule.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ichcore import spec_from_json, study_from_slices
from ichcore.wire import SPEC_FILE
from ichexport.engines import tensors_from_runner
from ichexport.files import written_whole
from ichexport.manifest import sha256_from_file
from ichexport.parity import torch_from_member
from ichexport.weights import member_from_file
from ichtrain.data import LabelledSeries, Prepared
from ichtrain.data.items import items_hu
from ichtrain.ensemble import EnsembleOptions
from ichtrain.ensemble.outputs import Members
from ichtrain.fit.validation import study_logit

Progress = Callable[[int, int], None]
Scores = dict[str, float]
"""Study score by SeriesInstanceUID."""

_CHUNK = 16
_SPLIT = "test"


def network_scores(run: Path, kept: Path, name: str, data: Path, progress: Progress) -> Scores:
    """Study scores of one network of `run`; read from `kept` where these very weights gave them."""
    weights = run / f"{name}.safetensors"
    sha256 = sha256_from_file(weights)
    if (found := _kept(kept, sha256)) is not None:
        return found
    series = list(Prepared(data).split(_SPLIT))
    progress(0, len(series))
    scores = {}
    for one, logits in zip(series, slice_logits(weights, series), strict=True):
        scores[one.SeriesInstanceUID] = study_logit(logits)
        progress(len(scores), len(series))
    return _stored(kept, sha256, scores)


def slice_logits(weights: Path, series: Iterable[LabelledSeries]) -> Iterator[NDArray[np.float64]]:
    """Logits [n] of the slices of each series, by the member of a weights file."""
    member = member_from_file(weights)
    runner = torch_from_member(member)
    for one in series:
        hu = items_hu(one, member.options.grid.slices_per_item)
        yield tensors_from_runner(runner, hu, _CHUNK)["LOGIT"][:, 0].astype(np.float64)


def ensemble_scores(
    run: Path, kept: Path, options: EnsembleOptions, data: Path, progress: Progress
) -> dict[str, Scores]:
    """Study scores of the fitted ensemble, and of each of its members by the comparators' rule."""
    names = ("ensemble", *options.members)
    sha256 = sha256_from_file(run / SPEC_FILE)
    found = {name: _kept(kept / f"{name}.json", sha256) for name in names}
    if all(scores is not None for scores in found.values()):
        return {name: scores for name, scores in found.items() if scores is not None}
    spec = spec_from_json((run / SPEC_FILE).read_text(encoding="utf-8"))
    judged = Members(run, options).validation([Prepared(data)], _SPLIT, progress)
    made: dict[str, Scores] = {name: {} for name in names}
    for one in judged.series:
        made["ensemble"][one.uid] = study_from_slices(judged.slices(one, spec), spec).score
        for name, logits in zip(judged.names, one.logit.T, strict=True):
            made[name][one.uid] = study_logit(logits.astype(np.float64))
    return {name: _stored(kept / f"{name}.json", sha256, made[name]) for name in names}


def _kept(path: Path, sha256: str) -> Scores | None:
    """Scores that a file holds of what has this hash; None where it holds none of it."""
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return document["scores"] if document.get("sha256") == sha256 else None


def _stored(path: Path, sha256: str, scores: Scores) -> Scores:
    text = json.dumps({"sha256": sha256, "scores": scores}, indent=1, sort_keys=True) + "\n"
    written_whole(path, text.encode())
    return scores
