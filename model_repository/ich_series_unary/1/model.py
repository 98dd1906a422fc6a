"""A whole series -> chunks to the slice model, their results as they come, the study result.

One file for two models: `ich_series` streams (decoupled), `ich_series_unary` gives one answer.
The config's parameter `slice_model` names who judges slices: `ich_ensemble`, or `ich_fused`.

Chunks are asked for by blocking calls on threads: one series holds the model at a time, which
bounds its memory, and no call outlives the request that it belongs to.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from ichcore import (
    Grid,
    IchError,
    ProvenanceError,
    ScannedSeries,
    byte_mask_from_grid,
    byte_mask_from_mask,
    spec_from_json,
)
from ichcore.flight import answers_in_order
from ichcore.items import Item, chunks_from_items, hu_from_chunk, items_from_slices
from ichcore.wire import (
    SPEC_FILE,
    STUDY_MODEL,
    series_slice_outputs,
    study_inputs,
    study_outputs,
)

Tensors = dict[str, Any]


class Cancelled(IchError):
    """The caller went away; nobody reads an answer any more."""


class TritonPythonModel:
    """Series in, results out; the grid and both rules are `ichcore`'s, reached where they run."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read the spec that lies in this version's folder, and whether this model streams."""
        config = json.loads(args["model_config"])
        self._slice_model = config["parameters"]["slice_model"]["string_value"]
        self._streams = pb_utils.using_decoupled_model_transaction_policy(config)
        folder = Path(args["model_repository"]) / args["model_version"]
        try:
            spec = spec_from_json((folder / SPEC_FILE).read_text())
        except (OSError, IchError) as error:
            raise pb_utils.TritonModelException(str(error)) from error
        self._grid = spec.grid
        members, points = len(spec.members), len(spec.operating_points)
        self._of_slices = tuple(t.name for t in series_slice_outputs(members))
        self._to_study = tuple(t.name for t in study_inputs(members))
        self._of_study = tuple(t.name for t in study_outputs(members, points))

    def execute(self, requests: list[Any]) -> list[Any] | None:
        """Judge one series after the other."""
        if not self._streams:
            return [self._answered(request) for request in requests]
        for request in requests:
            self._streamed(request)
        return None

    def _streamed(self, request: Any) -> None:
        """A response for each chunk, one for the study, then the end; or an error, the end."""
        sender = request.get_response_sender()
        try:
            for tensors in self._results(request, sender.is_cancelled):
                sender.send(_response(tensors))
        except IchError as error:
            sender.send(_refusal(error), flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
        else:
            sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    def _answered(self, request: Any) -> Any:
        try:
            *chunks, study = self._results(request, request.is_cancelled)
        except IchError as error:
            return _refusal(error)
        slices = {name: np.concatenate([c[name] for c in chunks]) for name in self._named(chunks)}
        return _response({**slices, **study})

    def _named(self, chunks: list[Tensors]) -> list[str]:
        return [name for name in self._of_slices if name in chunks[0]]

    def _results(self, request: Any, is_cancelled: Callable[[], bool]) -> Iterator[Tensors]:
        """Each chunk's results with its provenance, then the study's."""
        series = _series(request)
        wants_mask = "MASK" in request.requested_output_names()
        chunks = _until_cancelled(
            chunks_from_items(items_from_slices(series, self._grid)), is_cancelled
        )
        judged: list[Tensors] = []
        answers = answers_in_order(chunks, lambda c: self._judged(c, wants_mask), wait=True)
        with contextlib.closing(answers):
            for chunk, slices in answers:
                judged.append({name: slices[name] for name in self._to_study if name in slices})
                _refuse_other_provenance(judged)
                yield _told(slices, chunk, self._grid, first=_count(judged[:-1]))
        if is_cancelled():
            raise Cancelled("The caller cancelled the series.")
        whole = {name: np.concatenate([part[name] for part in judged]) for name in judged[0]}
        whole["POSITION_MM"] = series.position_mm
        yield _asked(STUDY_MODEL, whole, self._of_study)

    def _judged(self, chunk: list[Item], wants_mask: bool) -> Tensors:
        """The slice model's answer, one value a slice; on a thread."""
        names = [name for name in self._to_study if name != "POSITION_MM"]
        tensors = {"HU": hu_from_chunk(chunk)}
        slices = _asked(self._slice_model, tensors, [*names, "MASK"] if wants_mask else names)
        each = ("SCORE", "LESION_MM2", "BRAIN_MM2", "PROVENANCE")
        return {**slices, **{name: slices[name].reshape(-1) for name in each}}


def _series(request: Any) -> ScannedSeries:
    def values(name: str) -> Any:
        return pb_utils.get_input_tensor_by_name(request, name).as_numpy()

    return ScannedSeries(values("HU"), values("POSITION_MM"), values("PIXEL_SPACING_MM"))


def _until_cancelled(
    chunks: Iterable[list[Item]], is_cancelled: Callable[[], bool]
) -> Iterator[list[Item]]:
    for chunk in chunks:
        if is_cancelled():
            raise Cancelled("The caller cancelled the series.")
        yield chunk


def _asked(model: str, inputs: Tensors, outputs: Iterable[str]) -> Tensors:
    """Call a model of this server; its refusal is raised as it was said."""
    request = pb_utils.InferenceRequest(
        model_name=model,
        inputs=[pb_utils.Tensor(name, values) for name, values in inputs.items()],
        requested_output_names=list(outputs),
        # An engine on a GPU would hand its mask over there, where numpy cannot read it.
        preferred_memory=pb_utils.PreferredMemory(pb_utils.TRITONSERVER_MEMORY_CPU, 0),
    )
    response = request.exec()
    if response.has_error():
        raise IchError(f"{model} refused: {response.error().message()}")
    # Copied, because the response's memory is shared with the server and ends with it.
    return {t.name(): np.array(t.as_numpy()) for t in response.output_tensors()}


def _refuse_other_provenance(judged: list[Tensors]) -> None:
    found = {text for part in (judged[0], judged[-1]) for text in part["PROVENANCE"].tolist()}
    if len(found) != 1:
        raise ProvenanceError(
            f"The slices were judged by {len(found)} different bundles; "
            "send the series again when the server has changed over."
        )


def _told(slices: Tensors, chunk: list[Item], grid: Grid, first: int) -> Tensors:
    """What a caller hears of a chunk: masks on the scanned slices, one provenance for all."""
    count = len(slices["SCORE"])
    told = {**slices, "SLICE_INDEX": np.arange(first, first + count, dtype=np.int32)}
    told["PROVENANCE"] = slices["PROVENANCE"][:1]
    if "MASK" in slices:
        masks = zip(byte_mask_from_mask(slices["MASK"]), chunk, strict=True)
        told["MASK"] = np.stack([byte_mask_from_grid(m, i.placement, grid) for m, i in masks])
    return told


def _count(judged: list[Tensors]) -> int:
    return sum(len(part["SCORE"]) for part in judged)


def _response(tensors: Tensors) -> Any:
    return pb_utils.InferenceResponse([pb_utils.Tensor(n, v) for n, v in tensors.items()])


def _refusal(error: IchError) -> Any:
    code = pb_utils.TritonError.INVALID_ARG
    if isinstance(error, Cancelled):
        code = pb_utils.TritonError.CANCELLED
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error), code))
