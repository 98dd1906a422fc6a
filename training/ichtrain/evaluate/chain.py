"""Prepared folders and a bundle -> a folder with the record, its page and its pictures."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from itertools import chain
from pathlib import Path

from ichexport.files import written_whole
from ichtrain.data.prepared import INDEX_FILE, Prepared
from ichtrain.data.series import SPLITS, LabelledSeries
from ichtrain.data.splits import refuse_leak
from ichtrain.errors import EvaluationError
from ichtrain.evaluate.bundle import Bundle
from ichtrain.evaluate.outcome import Outcome, outcome_from_series
from ichtrain.evaluate.plots import pictures_from_record
from ichtrain.evaluate.record import RECORD_FILE, Record, record_from_outcomes, record_to_json
from ichtrain.evaluate.tables import page_from_record

PAGE_FILE = "evaluation.md"

SOFTWARE = ("ich-triton", "numpy", "openvino", "torch", "scipy", "scikit-learn", "statsmodels")

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class EvaluateOptions:
    """Which split is judged, and the command that is stored beside the figures."""

    split: str = "test"
    command: str = "ichtrain evaluate"

    def __post_init__(self) -> None:
        """Refuse a split that is none."""
        if self.split not in SPLITS:
            raise EvaluationError(f"Split '{self.split}' is none of {', '.join(SPLITS)}.")


def evaluate(
    folders: Sequence[Path],
    bundle: Bundle,
    out: Path,
    options: EvaluateOptions | None = None,
    progress: Progress = lambda done, total: None,
) -> Record:
    """Judge every series of a split and leave `evaluation.json`, `evaluation.md` and pictures.

    Raises `SplitLeak` where a patient is in two splits of all folders together, and
    `EvaluationError` where there is nothing to judge or the data lie on another grid.
    """
    options = options or EvaluateOptions()
    prepared = prepared_from_folders(folders, bundle)
    outcomes: list[Outcome] = []
    total = sum(_count(one, options.split) for one in prepared)
    if total == 0:
        names = ", ".join(str(folder) for folder in folders)
        raise EvaluationError(f"There is no series of split '{options.split}' in {names}.")
    progress(0, total)
    for series in _series(prepared, options.split):
        outcomes.append(outcome_from_series(series, bundle))
        progress(len(outcomes), total)
    record = record_from_outcomes(outcomes, bundle.spec, _conditions(prepared, bundle, options))
    write_evaluation(record, out)
    return record


def write_evaluation(record: Record, out: Path) -> None:
    """Write record, page and pictures, each whole or not at all."""
    for name, content in pictures_from_record(record).items():
        written_whole(out / name, content)
    written_whole(out / PAGE_FILE, page_from_record(record).encode())
    written_whole(out / RECORD_FILE, record_to_json(record).encode())


def prepared_from_folders(folders: Sequence[Path], bundle: Bundle) -> tuple[Prepared, ...]:
    """Open folders that may be judged together; raises as `evaluate` does."""
    prepared = tuple(Prepared(folder) for folder in folders)
    refuse_leak(chain.from_iterable(one.patients for one in prepared))
    seen: set[str] = set()
    for one in prepared:
        # Slices are stored singly, so how many an item has is the bundle's own affair.
        if replace(one.grid, slices_per_item=bundle.spec.grid.slices_per_item) != bundle.spec.grid:
            raise EvaluationError(
                f"{one.folder} was prepared on another grid than the bundle's ({one.grid}, not "
                f"{bundle.spec.grid}); prepare it again on that grid."
            )
        if twice := sorted(seen.intersection(one.uids)):
            raise EvaluationError(
                f"Series {twice[0]} is in {one.folder} and in another folder; give it once."
            )
        seen.update(one.uids)
    return prepared


def _series(prepared: Sequence[Prepared], split: str) -> Iterator[LabelledSeries]:
    for one in prepared:
        yield from one.split(split)


def _count(prepared: Prepared, split: str) -> int:
    return sum(own == split for _, own in prepared.patients)


def _conditions(prepared: Sequence[Prepared], bundle: Bundle, options: EvaluateOptions) -> Record:
    return {
        "command": options.command,
        "split": options.split,
        "data": [
            {
                "folder": one.folder.absolute().name,
                "series": _count(one, options.split),
                "index_sha256": hashlib.sha256((one.folder / INDEX_FILE).read_bytes()).hexdigest(),
            }
            for one in prepared
        ],
        "engine": bundle.engine,
        "networks": dict(bundle.networks),
        "files_sha256": dict(bundle.files_sha256),
        "software": {name: version(name) for name in SOFTWARE},
        "python": platform.python_version(),
        "processor": platform.processor() or platform.machine(),
    }
