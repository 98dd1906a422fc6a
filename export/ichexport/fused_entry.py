"""Repository -> its fused engine: made of the members' graphs, or given the numbers of a new spec.

Its record names the members' weights and graphs in order, and the combination that it holds, so
that neither can be of another release without being found.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ichcore import Combined, EnsembleSpec, IchError
from ichcore.fused import combination_sha256, refuse_other_combination
from ichcore.wire import FUSED_ENGINE_MODEL, MAX_BATCH_SIZE, build_record_file
from ichexport.engines import onnxruntime_from_onnx
from ichexport.entry import graph_of, record_bytes
from ichexport.errors import DriftError, IchExportError, ParityError
from ichexport.files import written_whole
from ichexport.fused import fused_from_members, holds_spec, swap_spec
from ichexport.gate import LIMITS, combined_from_engine, largest_difference
from ichexport.manifest import sha256_from_file
from ichexport.targets import ONNX_FILE


@dataclass(frozen=True)
class FusedEntry:
    """The fused graph and its record as they should lie in a repository."""

    graph: bytes
    record: dict[str, Any]


def fused_entry(repository: Path, spec: EnsembleSpec) -> FusedEntry:
    """The entry that belongs to a repository's members and to `spec`; nothing is written.

    A graph that was made of the same members keeps all but the spec's numbers, and what was
    proven of its runtimes. Raises `IchExportError` where the members cannot be fused.
    """
    graph, record_path = fused_graph_of(repository), _record_path(repository)
    made_of = _made_of(repository, spec)
    old = _read(record_path)
    if graph.is_file() and _is_made_of(old, made_of) and _is_recorded(old, graph):
        content = swap_spec(graph, spec)
        kept: dict[str, Any] = {key: old[key] for key in ("served", "versions") if key in old}
    else:
        graphs = {name: graph_of(repository, name) for name in spec.member_names}
        content = fused_from_members(graphs, spec)
        kept = {"versions": {"onnx": version("onnx")}}
    sha256 = hashlib.sha256(content).hexdigest()
    record = {
        **made_of,
        **kept,
        "model": FUSED_ENGINE_MODEL,
        "target": "onnx",
        "precision": "f32 arithmetic, FP16-stored weights",
        "batch_range": [1, MAX_BATCH_SIZE],
        "combination_sha256": combination_sha256(spec),
        "graph_sha256": sha256,
        "engine_sha256": sha256,
        "command": "ichexport repository --repository REPOSITORY",
    }
    return FusedEntry(content, record)


def prove_fused(
    entry: FusedEntry, hu: NDArray[np.float16], combined: Combined, spec: EnsembleSpec
) -> None:
    """Raise `ParityError` where the graph does not say of `hu` what the formula says.

    `combined` is the answer of `ichcore.combine` to the members' outputs on HU [n, S, R, C].
    """
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / ONNX_FILE
        path.write_bytes(entry.graph)
        found = combined_from_engine(onnxruntime_from_onnx(path), hu)
    limits = LIMITS["f32"]
    score = largest_difference(
        np.hstack([found.score, found.member_scores]),
        np.hstack([combined.score, combined.member_scores]),
    )
    area = largest_difference(
        np.hstack([found.lesion_mm2, found.brain_mm2]),
        np.hstack([combined.lesion_mm2, combined.brain_mm2]),
    )
    # Written so that a NaN, which compares as false, is refused too.
    if not (score <= limits.score and area <= limits.lesion_pixels * spec.grid.mask_pixel_mm2):
        raise ParityError(
            f"The fused graph differs from the combination of its members by {score:.3g} in a "
            f"score and {area:.3g} mm2 in an area; it was not placed in the repository."
        )


def write_fused(repository: Path, entry: FusedEntry) -> None:
    """Place a graph and its record where they are not there yet."""
    graph, record = fused_graph_of(repository), _record_path(repository)
    for path, content in ((graph, entry.graph), (record, record_bytes(entry.record))):
        if not path.is_file() or path.read_bytes() != content:
            written_whole(path, content)


def refuse_other_fused(repository: Path, spec: EnsembleSpec) -> None:
    """Raise `DriftError` where the fused graph is not that of the members and of the spec."""
    graph, record_path = fused_graph_of(repository), _record_path(repository)
    record = _read(record_path)
    mend = "run `ichexport repository` and commit."
    try:
        weights, combination = record["weights_sha256"], record["combination_sha256"]
        refuse_other_combination(weights, combination, spec)
        current = (
            _is_made_of(record, _made_of(repository, spec))
            and _is_recorded(record, graph)
            and holds_spec(graph, spec)
        )
    except (KeyError, OSError, IchError) as error:
        raise DriftError(f"{graph} or its record is not of this spec ({error}); {mend}") from error
    if not current:
        raise DriftError(f"{graph} is not what its members and its spec make; {mend}")


def fused_graph_of(repository: Path) -> Path:
    """Where the fused graph lies."""
    return graph_of(repository, FUSED_ENGINE_MODEL)


def _record_path(repository: Path) -> Path:
    return fused_graph_of(repository).with_name(build_record_file(ONNX_FILE))


def _made_of(repository: Path, spec: EnsembleSpec) -> dict[str, Any]:
    """What the record says of the members, in their order."""
    graphs = [graph_of(repository, name) for name in spec.member_names]
    records = [_read(graph.with_name(build_record_file(ONNX_FILE))) for graph in graphs]
    try:
        return {
            "members": list(spec.member_names),
            "weights_sha256": [record["weights_sha256"] for record in records],
            "member_graphs_sha256": [sha256_from_file(graph) for graph in graphs],
            "member_options": {
                name: record["member_options"]
                for name, record in zip(spec.member_names, records, strict=True)
            },
        }
    except (KeyError, OSError) as error:
        raise IchExportError(
            f"A member of {repository} has no graph or record ({error}); run `ichexport release`."
        ) from error


def _is_made_of(record: dict[str, Any], made_of: dict[str, Any]) -> bool:
    return all(record.get(key) == value for key, value in made_of.items())


def _is_recorded(record: dict[str, Any], graph: Path) -> bool:
    return bool(record.get("engine_sha256") == sha256_from_file(graph))


def _read(path: Path) -> dict[str, Any]:
    """A record, or nothing where there is none."""
    try:
        record = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}
