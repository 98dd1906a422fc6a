"""Triton's statistics before and after -> what a request took in it, in microseconds."""

from __future__ import annotations

from collections.abc import Mapping

STAGES = ("queue", "compute_input", "compute_infer", "compute_output")
Statistics = Mapping[str, Mapping[str, int]]


def server_times(before: Statistics, after: Statistics, model: str) -> dict[str, float] | None:
    """Mean microseconds of a request to `model`, whole and by stage; None where it is not told.

    An ensemble has no stages of its own: as perf_analyzer does, those of the models behind it are
    added up, although members work side by side, so their sum may be more than the whole.
    """
    requests = _grown(before, after, model, "requests")
    if requests < 1:
        return None
    stages = {"request": round(_grown(before, after, model, "request") / requests / 1e3, 1)}
    for stage in STAGES:
        nanoseconds = sum(
            _grown(before, after, name, stage) for name in after if name != model
        ) or _grown(before, after, model, stage)
        stages[stage] = round(nanoseconds / requests / 1e3, 1)
    return stages


def _grown(before: Statistics, after: Statistics, model: str, what: str) -> int:
    return after.get(model, {}).get(what, 0) - before.get(model, {}).get(what, 0)
