"""The embedded Triton's files -> a folder of its own, its command line and its environment.

    workspace/backends/python/           the Python backend as Triton wants it
    workspace/python/                    a virtual environment for the backend's Python

Triton 2.51 predates later security fixes, so the command line binds to the loopback interface
alone and turns off every service that the client does not need.

The backend's stub embeds an *isolated* Python: it ignores `PYTHONPATH` and
`PYTHONDONTWRITEBYTECODE`, finds its `site-packages` through the first `python3` on `PATH`, and
puts the folder it runs in first on `sys.path`. The virtual environment says what the ignored
variables would (a stub would otherwise write `__pycache__` into the model repository), and the
server runs in its workspace, where no stray module lies.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ichclient.caches import cache_folder
from ichclient.embedded import ServerFiles
from ichclient.flags import EMBEDDED, LOOPBACK, ServerSettings, server_arguments

__all__ = ["LOOPBACK", "server_command", "server_environment", "write_workspace"]

ENGINE_CACHE = "ICH_ENGINE_CACHE"
"""Names the folder in which models keep their compiled graphs, so that the next server starts
sooner; an empty name keeps none."""

_SITECUSTOMIZE = """\
import site
import sys

sys.dont_write_bytecode = True
for folder in {folders!r}:
    site.addsitedir(folder)
"""


def write_workspace(files: ServerFiles, workspace: Path) -> None:
    """Lay out the backend and the Python of a server below the empty folder `workspace`."""
    backend = _backends(workspace) / "python"
    backend.mkdir(parents=True)
    for source in (files.python_backend, files.stub, files.backend_utils):
        (backend / source.name).symlink_to(source)

    programs = _programs(workspace)
    programs.mkdir(parents=True)
    (programs / "python3").symlink_to(files.interpreter)
    environment = programs.parent
    home = f"home = {files.interpreter.parent}\ninclude-system-site-packages = false\n"
    (environment / "pyvenv.cfg").write_text(home, encoding="utf-8")
    version = files.stub.parent.name  # the stubs lie in folders named "3.11", "3.12"
    packages = environment / "lib" / f"python{version}" / "site-packages"
    packages.mkdir(parents=True)
    customisation = _SITECUSTOMIZE.format(folders=[str(f) for f in files.module_folders])
    (packages / "sitecustomize.py").write_text(customisation, encoding="utf-8")


def server_environment(
    files: ServerFiles, workspace: Path, inherited: Mapping[str, str]
) -> dict[str, str]:
    """Environment of the server: `inherited`, with its own library and program paths first.

    The graphics card is hidden: the embedded server computes on the processor alone, and would
    otherwise take memory on the card for nothing.
    """
    environment = {k: v for k, v in inherited.items() if not k.startswith("PYTHON")}
    libraries = (files.libpython_folder, files.wheel_libraries)
    environment["LD_LIBRARY_PATH"] = _joined(libraries, inherited.get("LD_LIBRARY_PATH"))
    environment["PATH"] = _joined((_programs(workspace),), inherited.get("PATH"))
    environment["CUDA_VISIBLE_DEVICES"] = ""
    environment.setdefault(ENGINE_CACHE, str(cache_folder(inherited) / "openvino"))
    return environment


def server_command(
    files: ServerFiles,
    workspace: Path,
    *,
    repository: Path,
    model_config_name: str,
    shm_prefix: str,
    grpc_port: int,
    http_port: int | None,
    models: tuple[str, ...] | None = None,
) -> tuple[str, ...]:
    """Command line of the embedded Triton: loopback only, and only the services that are needed.

    `models` are loaded, with the steps of those that are ensembles; None loads all there are.
    """
    settings = ServerSettings(
        model_repository=str(repository.resolve()),
        model_config_name=model_config_name,
        models=models,
        address=LOOPBACK,
        grpc_port=grpc_port,
        http_port=http_port,
        more=embedded_flags(workspace, shm_prefix),
    )
    return (str(files.tritonserver), *server_arguments(settings, EMBEDDED))


def embedded_flags(workspace: Path, shm_prefix: str) -> tuple[tuple[str, str], ...]:
    """Flags that point the embedded server at its workspace and keep it off the graphics card."""
    return (
        ("backend-directory", str(_backends(workspace))),
        ("backend-config", f"python,shm-region-prefix-name={shm_prefix}"),
        ("pinned-memory-pool-byte-size", "0"),
    )


def _backends(workspace: Path) -> Path:
    return workspace / "backends"


def _programs(workspace: Path) -> Path:
    return workspace / "python" / "bin"


def _joined(first: tuple[Path, ...], inherited: str | None) -> str:
    return ":".join([*map(str, first), *([inherited] if inherited else [])])
