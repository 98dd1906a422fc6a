"""FOLDER [MM] -> read a whole series and keep none of it: the process whose memory is measured."""

from __future__ import annotations

import sys
from pathlib import Path

from ichclient.hounsfield import hu_slices_from_series
from ichclient.infer import study_from_path


def main(folder: str, slab_mm: str = "") -> None:
    """Headers, choice of series, every slice decoded by two workers."""
    study = study_from_path(Path(folder), slab_mm=float(slab_mm) if slab_mm else None)
    for _ in hu_slices_from_series(study.series, workers=2):
        pass


if __name__ == "__main__":
    main(*sys.argv[1:])
