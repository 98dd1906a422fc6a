"""Placed engine and its record -> run again, and compared again with torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ichcore import Combined
from ichexport.engines import Runner
from ichexport.errors import DriftError, IchExportError, ParityError
from ichexport.gate import Reference, combined_from_engine
from ichexport.proofs import PASSED, Proof, record_of
from ichexport.routes import ROUTES


def rerun(engine: Path, proof: Proof) -> Runner:
    """The engine as a runner, as it was built; raises `CannotRunHere` where it cannot run."""
    route: Any = ROUTES[proof.target]
    options = _options(
        route, {"precision": proof.precision, **record_of(engine).get("options", {})}
    )
    runner: Runner = route.run(engine, options)
    return runner


def parity_from_run(reference: Reference, proof: Proof, runner: Runner) -> dict[str, Any]:
    """What a record says of an engine that ran; raises `ParityError` over the limits."""
    combined = combined_with(reference, proof.model, runner)
    try:
        found = reference.difference(combined, proof.precision)
    except ParityError as error:
        raise ParityError(f"{proof.name}: {error}") from error
    return {
        "engine": PASSED,
        "why_not": "",
        "compared": "engine",
        "difference": found.as_record(),
    }


def combined_with(reference: Reference, model: str, runner: Runner) -> Combined:
    """What the ensemble says with `runner` as one of its members, or as the whole of it."""
    if model in reference.spec.member_names:
        return reference.with_member(model, runner)
    return combined_from_engine(runner, reference.studies.hu)


def _options(route: Any, given: Mapping[str, Any]) -> Any:
    values = {n: tuple(v) if isinstance(v, list) else v for n, v in given.items()}
    try:
        return route.Options(**values)
    except (TypeError, IchExportError) as error:
        raise DriftError(
            f"A record's options are none of {route.Options.target} ({error}); build it again."
        ) from error
