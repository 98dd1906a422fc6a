"""The running machine -> what is there, and what is missing, for judging studies on it."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from ichclient import embedded
from ichclient.connect import ServerOptions, proven_server
from ichclient.errors import IchClientError
from ichclient.hounsfield import codecs
from ichclient.repository import verified_repository

_INSTALL = "pip install 'ich-triton[local]'"


@dataclass(frozen=True)
class Check:
    """One thing that was looked at; `needed` says that the embedded server needs it."""

    name: str
    ok: bool
    needed: bool
    sentence: str


def checks_of_this_machine(options: ServerOptions) -> tuple[Check, ...]:
    """Look at everything the embedded server needs, the codecs, and the server at a given URL."""
    facts = embedded.environment_facts()
    checks = [
        _platform_check(facts),
        _python_check(facts),
        _numpy_check(facts),
        _wheel_check(facts),
        _libpython_check(facts),
        _tried("embedded server", _embedded_sentence),
        _tried("model repository", lambda: f"{verified_repository(options.repository)} verified"),
        precision_check(Path("/proc/cpuinfo")),
        *_codec_checks(),
    ]
    checks += [_server_check(replace(options, url=url)) for url in options.urls]
    return tuple(checks)


def precision_check(cpuinfo: Path) -> Check:
    """Whether the processor computes in bf16, from the flags that Linux lists."""
    flags: set[str] = set()
    if cpuinfo.is_file():
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
        flags = {flag for line in lines if line.startswith("flags") for flag in line.split()}
    units = [name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if name in flags]
    bf16 = {"avx512_bf16", "amx_bf16"} & flags
    listed = ", ".join(units) or "no vector units known"
    return Check("processor", True, False, f"{listed}: engines run in {'bf16' if bf16 else 'f32'}")


def _platform_check(facts: embedded.EnvironmentFacts) -> Check:
    glibc = "no glibc" if facts.glibc is None else "glibc " + ".".join(map(str, facts.glibc))
    ok = facts.system == "linux" and facts.machine == "x86_64"
    ok = ok and facts.glibc is not None and facts.glibc >= embedded.MINIMUM_GLIBC
    return Check("platform", ok, True, f"{facts.system} on {facts.machine}, {glibc}")


def _python_check(facts: embedded.EnvironmentFacts) -> Check:
    ok = facts.implementation == "CPython" and facts.python in embedded.SUPPORTED_PYTHONS
    advice = "" if ok else ", the embedded server needs CPython 3.11 or 3.12"
    sentence = f"{facts.implementation} {platform.python_version()}{advice}"
    return Check("Python", ok, True, sentence)


def _numpy_check(facts: embedded.EnvironmentFacts) -> Check:
    version = facts.numpy_version
    ok = version is not None and version.startswith("1.")
    advice = "" if ok else ", the embedded server needs numpy 1.26: pip install 'numpy<2'"
    return Check("numpy", ok, True, f"{version or 'absent'}{advice}")


def _wheel_check(facts: embedded.EnvironmentFacts) -> Check:
    folder = facts.wheel_folder
    if folder is None:
        return Check("server files", False, True, f"nvidia-pytriton is absent: {_INSTALL}")
    return Check("server files", True, True, f"nvidia-pytriton in {folder}")


def _libpython_check(facts: embedded.EnvironmentFacts) -> Check:
    name = f"libpython{facts.python[0]}.{facts.python[1]}.so.1.0"
    found = [folder / name for folder in facts.libpython_folders if (folder / name).is_file()]
    sentence = str(found[0]) if found else f"{name} is absent: use a Python with a shared library"
    return Check("libpython", bool(found), True, sentence)


def _embedded_sentence() -> str:
    return f"{embedded.embedded_files().tritonserver} can start"


def _codec_checks() -> list[Check]:
    return [
        Check(
            f"DICOM {codec.name}",
            codec.available,
            False,
            "decoded" if codec.available else codec.extra or "not decoded",
        )
        for codec in codecs()
    ]


def _server_check(options: ServerOptions) -> Check:
    def sentence() -> str:
        with proven_server(options) as server:
            facts = server.transport.metadata()
            members = ", ".join(facts.member_names)
            return f"Triton {facts.server_version} with {members}; golden slices as recorded"

    return _tried(f"server {options.url}", sentence)


def _tried(name: str, sentence: Callable[[], str]) -> Check:
    """A check that is passed where nothing is raised; the error's sentence says why not."""
    try:
        return Check(name, True, True, sentence())
    except IchClientError as error:
        return Check(name, False, True, str(error))
