"""A training run -> a whole repository: graphs, spec and golden answers, released together.

The new repository is built beside the old one and takes its place only when every part was
proven, so that a server never sees engines of one release and a spec of another.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ichcore import EnsembleSpec, spec_from_json
from ichcore.wire import SPEC_FILE
from ichexport.build import build_onnx
from ichexport.engine import prove_served
from ichexport.errors import IchExportError
from ichexport.fused_entry import fused_entry, write_fused
from ichexport.repository import write_repository

GOLDEN_HU_FILE = "golden_hu.npy"


def repository_from_run(
    run: Path, repository: Path, progress: Callable[[str], object] = lambda step: None
) -> str:
    """Release `run` (weights, ensemble.json, golden_hu.npy) as `repository`.

    Gives the digest of the new manifest. On any failure the old repository stays as it was.
    """
    spec, golden_hu = _released_together(run)
    repository.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=repository.parent, prefix=".release-") as scratch:
        fresh, retired = Path(scratch) / "fresh", Path(scratch) / "retired"
        for member in spec.members:
            progress(f"{member.name}: graph and parity")
            build_onnx(member.name, run / f"{member.name}.safetensors", fresh, golden_hu)
        progress("all members as one graph")
        write_fused(fresh, fused_entry(fresh, spec))
        prove_served(fresh, spec, golden_hu, progress)
        progress("configs, golden answers, manifest")
        digest = write_repository(fresh, spec, golden_hu)
        _replace(repository, fresh, retired)
    return digest


@contextmanager
def changed_whole(repository: Path) -> Iterator[Path]:
    """A copy of `repository`, free to be changed, that takes its place if the block ends well.

    On any failure the repository stays as it was; raises `IchExportError` where there is no space
    for the copy, or the folder cannot be replaced.
    """
    try:
        with tempfile.TemporaryDirectory(dir=repository.parent, prefix=".change-") as scratch:
            fresh, retired = Path(scratch) / "fresh", Path(scratch) / "retired"
            shutil.copytree(repository, fresh, ignore=shutil.ignore_patterns("__pycache__"))
            yield fresh
            _replace(repository, fresh, retired)
    except OSError as error:
        raise IchExportError(
            f"{repository} cannot be changed ({_reason(error)}) and is as it was; free some space "
            "beside it, and let it be a folder of its own, not a mount."
        ) from error


def _reason(error: OSError) -> str:
    """Of the file that failed, where a tree was copied and several did."""
    if isinstance(error, shutil.Error) and error.args and isinstance(error.args[0], list):
        return str(error.args[0][0][-1])
    return error.strerror or str(error)


def _replace(repository: Path, fresh: Path, retired: Path) -> None:
    """Put `fresh` where `repository` is, or leave that as it was."""
    if not repository.exists():
        fresh.rename(repository)
        return
    repository.rename(retired)
    try:
        fresh.rename(repository)
    except BaseException:
        retired.rename(repository)
        raise
    shutil.rmtree(retired, ignore_errors=True)


def _released_together(run: Path) -> tuple[EnsembleSpec, NDArray[np.float16]]:
    try:
        spec = spec_from_json((run / SPEC_FILE).read_text())
        golden_hu = np.load(run / GOLDEN_HU_FILE, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise IchExportError(
            f"{run} is no finished training run ({error}); run `ichtrain starter` first."
        ) from error
    return spec, golden_hu
