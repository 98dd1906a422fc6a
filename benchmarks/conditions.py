"""Machine and bundle -> the conditions that are stored beside every number."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ichcore import EnsembleSpec
from ichcore.wire import FUSED_ENGINE_MODEL
from ichexport.entry import released_record

_CHECKOUT = Path(__file__).resolve().parents[1]
_CPUINFO = Path("/proc/cpuinfo")
_VECTOR_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16")
PACKAGES = ("ich-triton", "openvino", "numpy", "tritonclient", "grpcio", "nvidia-pytriton")


@dataclass(frozen=True)
class Machine:
    """What the numbers were measured on; loads are the 1-minute averages of Linux."""

    cpu_model: str
    cores: int
    """Cores that this process may use."""
    vector_flags: tuple[str, ...]
    memory_mib: int
    kernel: str
    load_average_start: float
    load_average_end: float

    def __post_init__(self) -> None:
        """Refuse a machine that cannot have measured anything."""
        if self.cores < 1 or self.memory_mib < 1:
            raise ValueError(f"not a machine: {self}")


def now_utc() -> str:
    """The present moment, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def load_average() -> float:
    """Processes that wanted to run, averaged over the last minute."""
    return round(os.getloadavg()[0], 2)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def arithmetic_of(precision: str, vector_flags: Iterable[str]) -> str:
    """`f32`, `bf16`, or `bf16, AMX` where the processor multiplies bf16 in tiles."""
    return "bf16, AMX" if precision == "bf16" and "amx_bf16" in vector_flags else precision


def machine_from_load(load_average_start: float) -> Machine:
    """Describe this machine at the end of a measurement."""
    model, flags = _processor(_CPUINFO.read_text(encoding="utf-8", errors="replace"))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Machine(
        cpu_model=model,
        cores=cores(),
        vector_flags=tuple(flag for flag in _VECTOR_FLAGS if flag in flags),
        memory_mib=memory // 2**20,
        kernel=platform.release(),
        load_average_start=load_average_start,
        load_average_end=load_average(),
    )


def conditions_of_run(date: str, load_start: float, packages: Iterable[str]) -> dict[str, Any]:
    """What every result file says: start, machine, commit, and versions of the packages."""
    return {
        "date": date,
        "machine": asdict(machine_from_load(load_start)),
        "git_commit": git_commit(),
        "versions": {"python": platform.python_version(), **versions_of(packages)},
    }


def versions_of(packages: Iterable[str]) -> dict[str, str]:
    """Version of each package, or "absent"."""
    versions = {}
    for package in packages:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "absent"
    return versions


def engines_sha256_from_records(repository: Path, spec: EnsembleSpec) -> dict[str, str]:
    """Hash of each member's engine and of the one engine, from the record beside it."""
    models = (*spec.member_names, FUSED_ENGINE_MODEL)
    return {name: str(released_record(repository, name)["engine_sha256"]) for name in models}


def git_commit() -> str | None:
    """Commit of the checkout that this file lies in; None without git or checkout."""
    commit, changes = _git("rev-parse", "HEAD"), _git("status", "--porcelain")
    if not commit:
        return None
    return f"{commit}-dirty" if changes else commit


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=_CHECKOUT, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _processor(cpuinfo: str) -> tuple[str, frozenset[str]]:
    """Model name and flags of the first processor that Linux lists."""
    fields: dict[str, str] = {}
    for line in cpuinfo.splitlines():
        key, _colon, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    return fields.get("model name", "unknown"), frozenset(fields.get("flags", "").split())
