"""Build records of a repository -> what was proven of each engine, and where."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ichcore.wire import build_record_file
from ichexport.errors import DriftError
from ichexport.manifest import sha256_from_file
from ichexport.targets import ONNX_FILE

ENGINE_SUFFIXES = (".onnx", ".plan", ".rtx")

PASSED, NOT_RUN, REFUSED = "passed", "not_run", "refused"
"""An engine ran and agreed with torch; could not run where it was built; ran and did not agree."""

_BUILD_AGAIN = "build the engine again with `ichexport build`."
_PLANS = ("tensorrt", "torch-tensorrt")


@dataclass(frozen=True)
class Proof:
    """One engine, one runtime and precision, and how it came out: `state` is one of the three.

    `score_difference` is the largest of a slice score, None where nothing was compared.
    """

    model: str
    version: int
    engine_file: str
    target: str
    precision: str
    state: str
    why_not: str
    score_difference: float | None

    @property
    def name(self) -> str:
        """How a message names it."""
        return f"{self.model}/{self.version}/{self.engine_file} ({self.target} {self.precision})"

    def serves(self, target: str) -> bool:
        """Whether it is an engine for `target`; a plan is one, whoever built it."""
        return self.target == target or (self.target in _PLANS and target in _PLANS)


def engines_of(repository: Path) -> Iterator[Path]:
    """Every engine in the version folders of a repository, sorted."""
    for path in sorted(repository.glob("*/[0-9]*/*")):
        if path.suffix in ENGINE_SUFFIXES:
            yield path


def record_of(engine: Path) -> dict[str, Any]:
    """The build record beside an engine; raises `DriftError` where there is none."""
    path = engine.with_name(build_record_file(engine.name))
    try:
        return dict(json.loads(path.read_bytes()))
    except OSError as error:
        raise DriftError(
            f"{path} is missing, so nothing is known of {engine.name}; build the engine again."
        ) from error
    except (TypeError, ValueError) as error:
        raise DriftError(f"{path} is no build record; build the engine again.") from error


def proofs_of(repository: Path) -> tuple[Proof, ...]:
    """What every record says was proven; a graph that serves as it is has one for each runtime."""
    return tuple(proof for engine in engines_of(repository) for proof in proofs_from_record(engine))


def proofs_from_record(engine: Path) -> list[Proof]:
    """The proofs of one engine; raises `DriftError` where its record tells none."""
    record = record_of(engine)
    served = record.get("served", {})
    try:
        if "parity" in record:
            return [_proof(engine, record["target"], record["precision"], record["parity"])]
        runtimes = [(*how.split(" ", 1), told["parity"]) for how, told in served.items()]
        return [_proof(engine, target, type_, parity) for target, type_, parity in runtimes]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DriftError(
            f"The record of {engine} does not say what was proven; build the engine again."
        ) from error


def refuse_other_engine(engine: Path) -> None:
    """Hold an engine against its record, and the record against the graph of its version."""
    record = record_of(engine)
    try:
        size = record.get("engine_bytes", engine.stat().st_size)
        engine_sha256, graph_sha256 = record["engine_sha256"], record["graph_sha256"]
        proofs_from_record(engine)
    except KeyError as error:
        raise DriftError(f"The record of {engine} names no {error}; {_BUILD_AGAIN}") from error
    if engine.stat().st_size != size:
        raise DriftError(
            f"{engine} has {engine.stat().st_size} bytes, its record {size}; {_BUILD_AGAIN}"
        )
    if sha256_from_file(engine) != engine_sha256:
        raise DriftError(f"{engine} is not the file that its record names; {_BUILD_AGAIN}")
    graph = engine.with_name(ONNX_FILE)
    if not graph.is_file() or sha256_from_file(graph) != graph_sha256:
        raise DriftError(f"{engine} was not built of the graph beside it; {_BUILD_AGAIN}")


def _proof(engine: Path, target: str, precision: str, parity: Mapping[str, Any]) -> Proof:
    difference = parity.get("difference")
    return Proof(
        model=engine.parents[1].name,
        version=int(engine.parent.name),
        engine_file=engine.name,
        target=target,
        precision=precision,
        state=str(parity["engine"]),
        why_not=str(parity["why_not"]),
        score_difference=difference and float(difference["largest_score_difference"]),
    )
