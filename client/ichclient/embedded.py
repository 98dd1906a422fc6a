"""Running environment -> the files of the embedded Triton server, or a refusal.

The PyPI wheel `nvidia-pytriton` carries a `tritonserver` binary (Triton 2.51) and its Python
backend. Only its files are used: `pytriton` is never imported.

Under numpy 2 that backend was measured to hand models wrong values without any error, so numpy 2
is refused. The library of the running interpreter itself is used, never that of another Python
of the same version: the system's broke a standard-library import.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
import site
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from ichclient.errors import EmbeddedServerError

SUPPORTED_PYTHONS = ((3, 11), (3, 12))
MINIMUM_GLIBC = (2, 35)

_ELSEWHERE = "Use a Triton server elsewhere with --url HOST:PORT."
_INSTALL = "pip install 'ich-triton[local]'"


@dataclass(frozen=True)
class EnvironmentFacts:
    """What the embedded server depends on, as found in the running environment."""

    system: str
    """`sys.platform`, for example "linux"."""
    machine: str
    """Processor architecture, for example "x86_64"."""
    glibc: tuple[int, int] | None
    """Version of the GNU C library; None where another library is in its place."""
    python: tuple[int, int]
    implementation: str
    """`platform.python_implementation()`, for example "CPython"."""
    interpreter: Path
    """The running interpreter outside any virtual environment: links are followed."""
    libpython_folders: tuple[Path, ...]
    """Where the running interpreter's own shared library may lie, best first."""
    wheel_folder: Path | None
    """Folder that holds the wheel's `pytriton` folder; None without the wheel."""
    numpy_version: str | None
    module_folders: tuple[Path, ...]
    """Folders in which models find what they import: numpy, engine runtimes, `ichcore`."""


@dataclass(frozen=True)
class ServerFiles:
    """The files of a server that can start here; every one of them exists."""

    tritonserver: Path
    python_backend: Path
    stub: Path
    backend_utils: Path
    wheel_libraries: Path
    libpython_folder: Path
    interpreter: Path
    module_folders: tuple[Path, ...]


def environment_facts() -> EnvironmentFacts:
    """Facts of the running interpreter; imports neither `pytriton` nor numpy."""
    return EnvironmentFacts(
        system=sys.platform,
        machine=platform.machine(),
        glibc=_glibc_version(),
        python=(sys.version_info.major, sys.version_info.minor),
        implementation=platform.python_implementation(),
        interpreter=Path(sys.executable).resolve(),
        libpython_folders=_libpython_folders(),
        wheel_folder=_folder_of("pytriton"),
        numpy_version=_version_of("numpy"),
        module_folders=_module_folders(),
    )


def embedded_files() -> ServerFiles:
    """Files of the embedded server for the running interpreter.

    Raises:
        EmbeddedServerError: it cannot start here; the message says what is missing.

    """
    return server_files_from_facts(environment_facts())


def server_files_from_facts(facts: EnvironmentFacts) -> ServerFiles:
    """Check the facts in the order in which a user can mend them, and name the files.

    Raises:
        EmbeddedServerError: platform, Python, numpy, wheel or libpython.

    """
    _check_platform(facts)
    _check_python(facts)
    _check_numpy(facts)
    wheel = facts.wheel_folder
    if wheel is None:
        raise EmbeddedServerError(
            f"The embedded Triton server is not installed: {_INSTALL}, or use --url HOST:PORT."
        )
    version = _dotted(facts.python)
    triton = wheel / "pytriton" / "tritonserver"
    backend = triton / "backends" / "python"
    files = ServerFiles(
        tritonserver=triton / "bin" / "tritonserver",
        python_backend=backend / "libtriton_python.so",
        stub=triton / "python_backend_stubs" / version / "triton_python_backend_stub",
        backend_utils=backend / "triton_python_backend_utils.py",
        wheel_libraries=wheel / "nvidia_pytriton.libs",
        libpython_folder=_libpython_folder(facts),
        interpreter=facts.interpreter,
        module_folders=facts.module_folders,
    )
    for path in (files.tritonserver, files.python_backend, files.stub, files.backend_utils):
        _check_wheel_path(path)
    _check_wheel_path(files.wheel_libraries)
    return files


def _check_platform(facts: EnvironmentFacts) -> None:
    if facts.system != "linux" or facts.machine != "x86_64":
        raise EmbeddedServerError(
            "The embedded Triton server needs Linux on x86-64; this is "
            f"{facts.system} on {facts.machine}. {_ELSEWHERE}"
        )
    if facts.glibc is None or facts.glibc < MINIMUM_GLIBC:
        found = "another C library" if facts.glibc is None else f"glibc {_dotted(facts.glibc)}"
        raise EmbeddedServerError(
            f"The embedded Triton server needs glibc {_dotted(MINIMUM_GLIBC)} or later; "
            f"this system has {found}. {_ELSEWHERE}"
        )


def _check_python(facts: EnvironmentFacts) -> None:
    if facts.implementation != "CPython" or facts.python not in SUPPORTED_PYTHONS:
        raise EmbeddedServerError(
            "The embedded Triton server needs CPython 3.11 or 3.12; this is "
            f"{facts.implementation} {_dotted(facts.python)}. "
            "Make a virtual environment with one of these, or use --url HOST:PORT."
        )


def _check_numpy(facts: EnvironmentFacts) -> None:
    if facts.numpy_version is None:
        raise EmbeddedServerError(f"The embedded Triton server needs numpy 1.26: {_INSTALL}.")
    if int(facts.numpy_version.partition(".")[0]) >= 2:
        raise EmbeddedServerError(
            f"numpy {facts.numpy_version} is installed, and under numpy 2 the embedded Triton "
            "server gives models wrong values: pip install 'numpy<2' in this environment, "
            "or use --url HOST:PORT."
        )


def _check_wheel_path(path: Path) -> None:
    if not path.exists():
        raise EmbeddedServerError(
            f"The embedded Triton server is incomplete: {path} is missing. "
            "pip install --force-reinstall --no-deps nvidia-pytriton==0.7.0"
        )


def _libpython_folder(facts: EnvironmentFacts) -> Path:
    """The folder with the running interpreter's own library, never that of another Python."""
    name = f"libpython{_dotted(facts.python)}.so.1.0"
    for folder in facts.libpython_folders:
        if (folder / name).is_file():
            return folder
    raise EmbeddedServerError(
        f"The embedded Triton server needs {name}, and {facts.interpreter} was built without it: "
        "use a Python with a shared library (built with --enable-shared; Debian's package "
        f"libpython{_dotted(facts.python)}), or --url HOST:PORT."
    )


def _libpython_folders() -> tuple[Path, ...]:
    """LIBDIR can be a build machine's path, or lack Debian's multiarch part: try all three."""
    libdir = sysconfig.get_config_var("LIBDIR")
    multiarch = sysconfig.get_config_var("MULTIARCH")
    folders = [Path(sys.base_prefix) / "lib"]
    if libdir:
        folders.insert(0, Path(libdir))
        if multiarch:
            folders.append(Path(libdir) / str(multiarch))
    return tuple(dict.fromkeys(folders))


def _module_folders() -> tuple[Path, ...]:
    """The installed packages' folders, and ours even where it is not installed.

    They stand in the order of this interpreter's own path, so that models import what it would:
    a package on `PYTHONPATH` hides an installed one of the same name.
    """
    found = [_folder_of("numpy"), *map(Path, site.getsitepackages()), _folder_of("ichcore")]
    present = dict.fromkeys(folder.resolve() for folder in found if folder is not None)
    path = [Path(entry).resolve() for entry in sys.path]
    return tuple(sorted(present, key=lambda f: path.index(f) if f in path else len(path)))


def _folder_of(package: str) -> Path | None:
    """Folder that holds `package`, found without importing it."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations))).resolve().parent


def _version_of(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _glibc_version() -> tuple[int, int] | None:
    library, version = platform.libc_ver()
    if library != "glibc":
        return None
    major, minor = version.split(".")[:2]
    return int(major), int(minor)


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))
