"""Released graph -> engine in its version folder: typed, built, audited, compared, recorded.

The chain of every target, top to bottom. Nothing is placed before all of it went well.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ichcore import EnsembleSpec
from ichcore.wire import FUSED_ENGINE_MODEL, MAX_BATCH_SIZE
from ichexport.audit import QUANTISED, layers_left_in_f32, refuse_other_precision
from ichexport.cache import cached, keep, key_from_parts
from ichexport.engines import Runner, onnxruntime_from_onnx
from ichexport.entry import (
    RELEASE_COMMAND,
    Proven,
    graph_of,
    note_served,
    place,
    released_record,
    scratch_in,
)
from ichexport.errors import CannotRunHere, ParityError
from ichexport.gate import Reference
from ichexport.graph import member_from_graph
from ichexport.manifest import sha256_from_file
from ichexport.members import Member
from ichexport.parity import torch_from_member
from ichexport.proofs import NOT_RUN, PASSED, REFUSED
from ichexport.rerun import combined_with
from ichexport.rounding import rounding_graph
from ichexport.routes import ROUTES
from ichexport.routes.route import Built, Route, RouteOptions, Source
from ichexport.studies import Studies
from ichexport.targets import ONNX_FILE
from ichexport.typed import typed_graph

_SERVED = (("onnxruntime", "f32"), ("openvino", "f32"), ("openvino", "bf16"))


@dataclass(frozen=True)
class Workshop:
    """What all builds in one repository share; `reference` is torch in FP32 on `studies`."""

    repository: Path
    reference: Reference
    calibration: Studies
    cache: Path | None
    command: str


def workshop_from_repository(
    repository: Path,
    spec: EnsembleSpec,
    studies: Studies,
    calibration: Studies,
    cache: Path | None,
    command: str,
) -> Workshop:
    """Run every member in torch on `studies`, which all builds are compared with."""
    reference = reference_from_repository(repository, spec, studies)
    return Workshop(repository, reference, calibration, cache, command)


def reference_from_repository(repository: Path, spec: EnsembleSpec, studies: Studies) -> Reference:
    """Run every member of a repository in torch on `studies`."""
    runners = {name: torch_from_member(member_of(repository, name)) for name in spec.member_names}
    return Reference(runners, spec, studies)


def prove_served(
    repository: Path, spec: EnsembleSpec, hu: NDArray[np.float16], say: Callable[[str], object]
) -> None:
    """Hold every runtime that serves the released graphs as they are against torch on `hu`.

    The fused graph is one of them. bf16 that does not pass is noted, and the graph is then served
    in f32; f32 has to pass.
    """
    studies = Studies(hu, np.arange(len(hu)), np.zeros(len(hu), np.float32))
    workshop = workshop_from_repository(repository, spec, studies, studies, None, RELEASE_COMMAND)
    for target, precision in _SERVED:
        route = ROUTES[target]
        for name in (*spec.member_names, FUSED_ENGINE_MODEL):
            options = route.Options(precision=precision)
            try:
                with scratch_in(repository) as scratch:
                    place(repository, build_engine(workshop, name, route, options, scratch, say))
            except (CannotRunHere, ParityError) as error:
                if precision == "f32":
                    raise
                say(f"{name}: not served in {precision}. {error}")
                refusal = {"parity": {"engine": REFUSED, "why_not": str(error)}}
                note_served(graph_of(repository, name), f"{target} {precision}", refusal)


def member_of(repository: Path, name: str) -> Member:
    """The torch module of a released graph."""
    return member_from_graph(
        graph_of(repository, name), released_record(repository, name)["member_options"]
    )


def build_engine(
    workshop: Workshop,
    model: str,
    route: Route,
    options: RouteOptions,
    scratch: Path,
    say: Callable[[str], object] = lambda text: None,
) -> Proven:
    """Build one model's engine below `scratch` and prove it; the repository is not touched.

    Raises `PrecisionError` or `ParityError` where the engine is not what was asked for, any other
    `IchExportError` where it cannot be built.
    """
    folder = scratch / model
    folder.mkdir()
    graph = _typed(workshop, model, options, folder)
    built, key = _built(workshop, model, graph, route, options, folder)
    refuse_other_precision(built.layers, options.precision, f"{model} ({built.read_from})")
    record = {
        **_facts(workshop, model, options, built),
        **_calibrated(workshop, graph, options),
        "build_seconds": built.build_seconds,
        "cache_key": key,
        "parity": _parity(workshop, model, graph, built, route, options),
    }
    compared = "" if record["parity"]["engine"] == PASSED else "; only its graph was compared"
    say(f"{model}: {options.target} in {options.precision}, {_in_words(built.layers)}{compared}")
    return Proven(model, built.engine, options.engine_file, record)


def _typed(workshop: Workshop, model: str, options: RouteOptions, scratch: Path) -> Path:
    released = graph_of(workshop.repository, model)
    if options.graph_precision == "f32":
        return released
    path = scratch / f"{options.graph_precision}.onnx"
    typed_graph(released, options.graph_precision, path, workshop.calibration.hu, options.target)
    return path


def _built(
    workshop: Workshop,
    model: str,
    graph: Path,
    route: Route,
    options: RouteOptions,
    scratch: Path,
) -> tuple[Built, str]:
    hu = workshop.calibration.hu
    key = key_from_parts(
        {
            "graph": sha256_from_file(graph),
            "calibration": _sha256_from_hu(hu),
            "target": options.target,
            "options": asdict(options),
            "versions": _versions(options),
            # An engine that is built on a GPU is an engine for it.
            "machine": getattr(route, "machine", dict)(),
        }
    )
    if workshop.cache is not None and (found := cached(workshop.cache, key, scratch)):
        return found, key
    is_member = model in workshop.reference.spec.member_names
    member = partial(member_of, workshop.repository, model) if is_member else None
    started = time.perf_counter()
    built = route.build(Source(model, graph, member, hu), scratch, options)
    built = replace(built, build_seconds=round(time.perf_counter() - started, 2))
    if workshop.cache is not None and built.engine.parent == scratch:
        keep(workshop.cache, key, built)
    return built, key


def _facts(workshop: Workshop, model: str, options: RouteOptions, built: Built) -> dict[str, Any]:
    released = released_record(workshop.repository, model)
    # What the fused graph holds of the spec; the combination of members stands outside of them.
    held = ("combination_sha256",) if "combination_sha256" in released else ()
    return {
        **{name: released[name] for name in held},
        "model": model,
        "target": options.target,
        "precision": options.precision,
        "options": asdict(options),
        "layers": {"count": dict(built.layers), "read_from": built.read_from},
        "device": dict(built.device),
        "batch_range": [1, MAX_BATCH_SIZE],
        "weights_sha256": released["weights_sha256"],
        "graph_sha256": released["graph_sha256"],
        "engine_sha256": sha256_from_file(built.engine),
        "engine_bytes": built.engine.stat().st_size,
        "member_options": released["member_options"],
        "versions": _versions(options),
        "command": workshop.command,
    }


def _calibrated(workshop: Workshop, graph: Path, options: RouteOptions) -> dict[str, Any]:
    """What a quantised engine was calibrated on, and what it leaves in f32."""
    if options.graph_precision not in QUANTISED:
        return {}
    hu = workshop.calibration.hu
    return {
        "calibration": {"slices": len(hu), "hu_sha256": _sha256_from_hu(hu)},
        "left_in_f32": layers_left_in_f32(graph),
    }


def _sha256_from_hu(hu: NDArray[np.float16]) -> str:
    return hashlib.sha256(hu.tobytes()).hexdigest()


def _parity(
    workshop: Workshop,
    model: str,
    graph: Path,
    built: Built,
    route: Route,
    options: RouteOptions,
) -> dict[str, Any]:
    """The ensemble with the engine in it; the graph in its place where the engine cannot run."""
    try:
        runner, compared, why_not = route.run(built.engine, options), "engine", ""
    except CannotRunHere as error:
        runner, compared, why_not = _rounding(graph), "graph", str(error)
    combined = combined_with(workshop.reference, model, runner)
    found = workshop.reference.difference(combined, options.precision)
    return {
        "engine": PASSED if compared == "engine" else NOT_RUN,
        "why_not": why_not,
        "compared": compared,
        "difference": found.as_record(),
    }


def _rounding(graph: Path) -> Runner:
    """The typed graph on a processor that may not have its type."""
    with tempfile.TemporaryDirectory() as scratch:
        twin = Path(scratch) / ONNX_FILE
        rounding_graph(graph, twin)
        return onnxruntime_from_onnx(twin)


def _versions(options: RouteOptions) -> dict[str, str]:
    found = {}
    for library in options.libraries:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found


def _in_words(layers: Mapping[str, int]) -> str:
    return ", ".join(f"{count} layers in {name}" for name, count in sorted(layers.items()))
