"""Configs of one version -> configs of the versions that a repository keeps, all pinned.

    ich_ensemble, ich_fused, ich_study   the current version
    members, ich_combine                 the current version and, beside it, the candidate
    ich_canary                           the candidate, with the inputs and outputs of ich_ensemble

A config stands for all versions of its model, so a candidate must have the tensors of the current
version: the same grid, members, member with `BRAIN` and number of operating points.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ichcore import EnsembleSpec
from ichcore.wire import CANARY_MODEL, ENSEMBLE_MODEL, STUDY_MODEL
from ichexport.configs import HEADER, configs_from_spec
from ichexport.errors import IchExportError
from ichexport.versions import Versions

_ENSEMBLE = f"{ENSEMBLE_MODEL}/config.pbtxt"


def configs_from_versions(
    versions: Versions, spec: EnsembleSpec, candidate: EnsembleSpec | None = None
) -> dict[str, str]:
    """Every config as path -> text; `candidate` is the candidate's spec, where there is one."""
    configs = {path: _parsed(text) for path, text in configs_from_spec(spec).items()}
    beside: set[str] = set()
    served = [versions.current]
    if candidate is not None and versions.candidate is not None:
        refuse_other_tensors(spec, candidate)
        canary = _parsed(configs_from_spec(candidate)[_ENSEMBLE])
        canary.name = CANARY_MODEL
        _pin(canary, [versions.candidate])
        beside = {step.model_name for step in canary.ensemble_scheduling.step}
        served = [versions.current, versions.candidate]
    for config in configs.values():
        _pin(config, served if config.name in beside else [versions.current])
        if config.name == STUDY_MODEL:
            config.parameters["versions"].string_value = ",".join(map(str, served))
    if beside:
        configs[f"{CANARY_MODEL}/config.pbtxt"] = canary
    return {path: _text(config) for path, config in configs.items()}


def refuse_other_tensors(spec: EnsembleSpec, candidate: EnsembleSpec) -> None:
    """Raise `IchExportError` where two specs cannot be versions of one bundle."""
    facts: dict[str, Callable[[EnsembleSpec], object]] = {
        "grid": lambda each: each.grid,
        "members": lambda each: each.member_names,
        "brain_member": lambda each: each.brain_member,
        "number of operating points": lambda each: len(each.operating_points),
    }
    for name, fact in facts.items():
        if fact(spec) != fact(candidate):
            raise IchExportError(
                f"The candidate has another {name} than the version that is served "
                f"({fact(candidate)}, not {fact(spec)}), so the two cannot share configs; release "
                "it as a repository of its own."
            )


def _pin(config: Any, versions: list[int]) -> None:
    config.version_policy.specific.versions[:] = versions
    for step in config.ensemble_scheduling.step:
        step.model_version = versions[0]


def _parsed(text: str) -> Any:
    from google.protobuf import text_format
    from tritonclient.grpc import model_config_pb2

    return text_format.Parse(text, model_config_pb2.ModelConfig())


def _text(config: Any) -> str:
    from google.protobuf import text_format

    return HEADER + str(text_format.MessageToString(config))
