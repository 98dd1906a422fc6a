"""evaluation.json of `ichtrain evaluate` -> reference.json of the repository that it is about."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from ichcore import EnsembleSpec
from ichcore.errors import ContractError
from ichcore.reference import Calls, PointCalls, Reference, reference_to_json
from ichcore.wire import REFERENCE_FILE
from ichexport.errors import IchExportError
from ichexport.files import written_whole

_FORMAT = 1


def reference_from_evaluation(text: str, spec: EnsembleSpec) -> Reference:
    """What travels with the bundle; raises `IchExportError` for an evaluation of another spec."""
    try:
        found: dict[str, Any] = json.loads(text)
        if found["format"] != _FORMAT:
            raise ValueError(f"format {found['format']}")
        if found["spec_sha256"] != spec.sha256:
            raise IchExportError(
                f"The evaluation is of spec {found['spec_sha256'][:16]}, the repository holds "
                f"{spec.sha256[:16]}: evaluate this one with `ichtrain evaluate`."
            )
        return Reference(
            name=found["name"],
            spec_sha256=found["spec_sha256"],
            about=_about(found),
            evaluation_sha256=hashlib.sha256(text.encode()).hexdigest(),
            points=tuple(
                PointCalls(
                    point["name"],
                    point["threshold"],
                    Calls(**point["bleeds"]),
                    Calls(**point["clean"]),
                )
                for point in found["whole"]["points"]
            ),
            bleeds=_scores(found, truth=True),
            clean=_scores(found, truth=False),
        )
    except (AttributeError, ContractError, KeyError, TypeError, ValueError) as error:
        raise IchExportError(
            f"It is no evaluation of `ichtrain evaluate` ({type(error).__name__}: {error})."
        ) from error


def write_reference(repository: Path, evaluation: Path, spec: EnsembleSpec) -> None:
    """Place the reference of `spec`; the manifest has to be written after it."""
    try:
        text = evaluation.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise IchExportError(f"{evaluation} cannot be read ({error}).") from error
    reference = reference_from_evaluation(text, spec)
    written_whole(repository / REFERENCE_FILE, reference_to_json(reference).encode())


def _about(found: dict[str, Any]) -> str:
    sites = ", ".join(sorted({series["site"] for series in found["series"]}))
    return f"{found['counts']['series']} series of {sites}, split {found['conditions']['split']}"


def _scores(found: dict[str, Any], *, truth: bool) -> tuple[float, ...]:
    return tuple(
        sorted(
            series["score"]
            for series in found["series"]
            if series["truth"] is truth and series["refusal"] is None
        )
    )
