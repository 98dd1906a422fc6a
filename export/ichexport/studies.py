"""File of slices -> studies to compare engines on, and to calibrate them with.

`ichtrain slices` writes such a file of phantoms; a repository's own golden slices do where there
is none, each as a study of its own.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ichcore import HU_AIR, HU_MAX, EnsembleSpec
from ichcore.wire import hu_tensor
from ichexport.errors import IchExportError

_LEAST_SPAN_HU = 1000.0
_UNREADABLE = (
    OSError, EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


@dataclass(frozen=True)
class Studies:
    """n slices of m studies.

    `hu` float16 [n, S, R, C] is whole HU; `study` [n] numbers the studies from 0 and never falls;
    `position_mm` [n] rises within a study; `truth` [m] says which show blood, where that is known.
    """

    hu: NDArray[np.float16]
    study: NDArray[np.int64]
    position_mm: NDArray[np.float32]
    truth: NDArray[np.bool_] | None = None

    def parts(self) -> Iterator[slice]:
        """The slices of each study in turn."""
        edges = np.searchsorted(self.study, np.arange(int(self.study[-1]) + 2))
        for start, stop in pairwise(edges):
            yield slice(int(start), int(stop))


def studies_from_file(path: Path, spec: EnsembleSpec) -> Studies:
    """Read HU, STUDY, POSITION_MM and TRUTH of an npz file, or golden slices with HU alone.

    Raises `IchExportError` where the file is none, is empty, or holds other than HU on the grid.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            hu = arrays["HU"]
            study = arrays["STUDY"] if "STUDY" in arrays else np.arange(len(hu))
            position = arrays["POSITION_MM"] if "POSITION_MM" in arrays else np.zeros(len(hu))
            truth = arrays.get("TRUTH")
    except _UNREADABLE as error:
        raise IchExportError(
            f"{path} holds no slices ({error}); make the file with `ichtrain slices`."
        ) from error
    _refuse_other_hu(hu, path, spec)
    _refuse_other_studies(study, position, truth, len(hu), path)
    return Studies(
        hu,
        study.astype(np.int64),
        position.astype(np.float32),
        None if truth is None else truth.astype(np.bool_),
    )


def _refuse_other_hu(hu: NDArray[np.generic], path: Path, spec: EnsembleSpec) -> None:
    expected = hu_tensor(spec.grid).shape
    if len(hu) == 0:
        raise IchExportError(f"{path} holds no slice; make it with `ichtrain slices`.")
    if hu.dtype != np.float16 or hu.shape[1:] != expected:
        raise IchExportError(
            f"HU of {path} is {hu.dtype} {list(hu.shape)}; this repository's grid wants float16 "
            f"[n, {', '.join(map(str, expected))}]."
        )
    values = hu.astype(np.float32)
    # A NaN fails all three.
    if not (
        values.min() >= HU_AIR and values.max() <= HU_MAX and np.all(values == np.rint(values))
    ):
        raise IchExportError(
            f"HU of {path} spans {values.min():g} to {values.max():g}; whole Hounsfield units in "
            f"[{HU_AIR}, {HU_MAX}] are wanted, not windowed or scaled values."
        )
    if float(np.ptp(values)) < _LEAST_SPAN_HU:
        raise IchExportError(
            f"HU of {path} spans only {values.min():g} to {values.max():g}, which is no head: "
            "air, brain and bone span more than a thousand."
        )


def _refuse_other_studies(
    study: NDArray[np.generic],
    position: NDArray[np.generic],
    truth: NDArray[np.generic] | None,
    slices: int,
    path: Path,
) -> None:
    if study.shape != (slices,) or position.shape != (slices,):
        raise IchExportError(f"STUDY and POSITION_MM of {path} do not number its {slices} slices.")
    steps = np.diff(study.astype(np.int64), prepend=0)
    if study[0] != 0 or not np.isin(steps, (0, 1)).all():
        raise IchExportError(f"STUDY of {path} must count from 0 without gaps or falls.")
    if truth is not None and truth.shape != (int(study[-1]) + 1,):
        raise IchExportError(f"TRUTH of {path} does not name its {int(study[-1]) + 1} studies.")
