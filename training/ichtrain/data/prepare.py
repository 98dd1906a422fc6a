"""Manifest -> prepared folder: DICOM and masks read once, and carried to the grid.

Reading, choice of slices, Hounsfield units, orientation and resampling are the client's and
`ichcore`'s own functions, so what is trained on is what a server will be sent. Each series is
written whole; a run that ended half-way is taken up where it ended.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ichclient.geometry import canonical_orientation
from ichclient.headers import SliceHeader
from ichclient.hounsfield import hu_slices_from_series
from ichclient.series import Series
from ichcore import Grid, Placement, hu_on_grid, mask_on_grid, placement_from_hu
from ichtrain.data.drawn import lesion_ml_from_blood
from ichtrain.data.intake import Intake, intake_from_paths
from ichtrain.data.masks import Planes, Regions, regions_from_file
from ichtrain.data.parallel import Progress, outcomes, silent
from ichtrain.data.prepared import INDEX_FILE, Prepared, PreparedWriter, write_whole
from ichtrain.data.rows import SliceRow, series_from_rows
from ichtrain.data.series import (
    LABELS,
    UNKNOWN,
    VISIBLE_LESION_MM2,
    LabelledSeries,
    lesion_labels,
)
from ichtrain.data.splits import refuse_leak
from ichtrain.errors import DataError, ManifestError, MaskError

SKIPPED_FILE = "skipped.json"
"""Series that --skip-broken left out of a prepared folder, with the reason of each."""


@dataclass(frozen=True)
class PrepareOptions:
    """The grid, how many processes read, and whether a broken series ends the run."""

    grid: Grid = field(default_factory=Grid)
    workers: int = 1
    skip_broken: bool = False


@dataclass(frozen=True)
class PrepareRecord:
    """What a run did: series written now, series that were there, and reasons of those left out."""

    written: int
    kept: int
    skipped: dict[str, str]


@dataclass(frozen=True)
class SeriesWork:
    """All rows of one series with their numbers in the manifest; the unit of parallel work."""

    rows: tuple[tuple[int, SliceRow], ...]
    grid: Grid

    @property
    def uid(self) -> str:
        """The SeriesInstanceUID that all rows share."""
        return self.rows[0][1].SeriesInstanceUID

    @property
    def name(self) -> str:
        """How messages call the series."""
        number, row = self.rows[0]
        return f"Series {self.uid} (row {number}, {row.series})"


def prepare_series(
    folder: Path,
    rows: Iterable[SliceRow],
    options: PrepareOptions = PrepareOptions(),
    progress: Progress = silent,
) -> PrepareRecord:
    """Fill a prepared folder with the series of a manifest; those that are there are kept.

    Raises `SplitLeak` where a patient of the rows or of the folder is in two splits,
    `ManifestError` where rows have no split or contradict what was prepared from them before,
    and `DataError` where a series is broken, unless `skip_broken`, or the disk is full.
    """
    grouped = series_from_rows(rows)
    work = [SeriesWork(tuple(rows), options.grid) for rows in grouped.values()]
    _refuse_unsplit(work)
    writer = PreparedWriter(folder, options.grid)
    done = Prepared(folder) if (folder / INDEX_FILE).is_file() else None
    pairs = ((one.rows[0][1].patient, one.rows[0][1].split) for one in work)
    refuse_leak(chain(done.patients if done else (), pairs))
    todo = [one for one in work if one.uid not in writer.done]
    kept = [one for one in work if one.uid in writer.done]
    for one in kept:
        assert done is not None  # the writer took it from there
        _refuse_changed(one, done)
    skipped: dict[str, str] = {}
    progress(len(kept), len(work))
    for number, (one, outcome) in enumerate(
        outcomes(labelled_series_from_work, todo, options.workers), len(kept) + 1
    ):
        if isinstance(outcome, LabelledSeries):
            writer.add(outcome)
        elif options.skip_broken:
            skipped[one.uid] = f"{one.name}: {outcome}"
        else:
            raise type(outcome)(f"{one.name}: {outcome}")
        progress(number, len(work))
    if options.skip_broken:
        _write_skipped(folder, skipped)
    return PrepareRecord(len(todo) - len(skipped), len(kept), skipped)


def labelled_series_from_work(work: SeriesWork) -> LabelledSeries:
    """Read one series with its mask and carry it to the grid.

    Raises `DataError` naming the file or the row.
    """
    row = work.rows[0][1]
    intake = intake_from_paths(dict.fromkeys(row.series for _, row in work.rows), work.uid)
    _refuse_absent(work, intake)
    series = intake.series
    regions = None if row.mask is None else regions_from_file(row.mask, series)
    blood = _blood(work, regions, series)
    hu, lesion, brain = _on_grid(series, work.grid, blood, regions.inside if regions else None)
    lesion_ml = row.lesion_ml
    if lesion_ml is None and blood is not None:
        lesion_ml = lesion_ml_from_blood(blood, series)
    return LabelledSeries(
        SeriesInstanceUID=work.uid,
        SOPInstanceUID=tuple(header.SOPInstanceUID for header in series.slices),
        patient=row.patient,
        site=row.site,
        split=row.split,
        annotation=row.annotation,
        labels=_labels(work, series, lesion if row.annotation == "mask" else None),
        lesion_ml=lesion_ml,
        hu=hu,
        position_mm=_positions_mm(series),
        lesion=lesion,
        brain=brain,
    )


def _on_grid(
    series: Series, grid: Grid, blood: Planes | None, inside: Planes | None
) -> tuple[NDArray[np.float16], NDArray[np.uint8] | None, NDArray[np.uint8] | None]:
    """HU, lesion and inside of the skull, slice by slice on the same placement."""
    hu: list[NDArray[np.float16]] = []
    shares: dict[str, list[NDArray[np.uint8]]] = {"blood": [], "inside": []}
    for index, one in enumerate(hu_slices_from_series(series, workers=1)):
        placement = placement_from_hu(one.hu, one.row_spacing_mm, one.column_spacing_mm)
        hu.append(hu_on_grid(one.hu, placement, grid))
        for name, drawn in (("blood", blood), ("inside", inside)):
            if drawn is not None:
                shares[name].append(_share(drawn[index], one.header, placement, grid))
    lesion, brain = (np.stack(planes) if planes else None for planes in shares.values())
    return np.stack(hu), lesion, brain


def _share(
    stored: Planes, header: SliceHeader, placement: Placement, grid: Grid
) -> NDArray[np.uint8]:
    """A mask as the file stores its pixels, turned as the client turns HU, on the mask raster."""
    assert header.ImageOrientationPatient is not None  # a chosen series has it
    canonical = canonical_orientation(header.ImageOrientationPatient).canonical(stored)
    share = mask_on_grid(np.ascontiguousarray(canonical), placement, grid)
    return np.asarray(np.rint(np.clip(share, 0.0, 1.0) * 255.0), dtype=np.uint8)


def _positions_mm(series: Series) -> NDArray[np.float32]:
    """Positions from the lowest slice on: a table's height means nothing."""
    return np.asarray(np.subtract(series.positions_mm, series.positions_mm[0]), dtype=np.float32)


def _blood(work: SeriesWork, regions: Regions | None, series: Series) -> Planes | None:
    """What is drawn; nothing where every slice is known to show no blood; else None.

    Raises `MaskError` where a slice is labelled against what is drawn on it.
    """
    of_slice = {row.SOPInstanceUID: (number, row.labels[0]) for number, row in work.rows}
    if regions is None:
        header = series.slices[0]
        shape = (len(series.slices), int(header.Rows or 0), int(header.Columns or 0))
        known = [of_slice.get(one.SOPInstanceUID, (0, None))[1] for one in series.slices]
        return np.zeros(shape, dtype=np.bool_) if set(known) == {0} else None
    blood = regions.blood
    pixel_mm2 = float(np.prod(series.pixel_spacing_mm))
    for header, drawn in zip(series.slices, blood, strict=True):
        number, label = of_slice.get(header.SOPInstanceUID, (0, None))
        drawn_mm2 = drawn.sum() * pixel_mm2
        # What hardly shows may be called either way.
        if (label == 1 and drawn_mm2 == 0) or (label == 0 and drawn_mm2 > 2 * VISIBLE_LESION_MM2):
            raise MaskError(
                f"row {number}, any: is {label}, but {drawn_mm2:.0f} mm2 of blood are drawn there."
            )
    return blood


def _labels(work: SeriesWork, series: Series, lesion: NDArray[np.uint8] | None) -> NDArray[np.int8]:
    """Labels of every slice [n, 6]; with a mask, what is visible on the grid decides about any."""
    by_uid = {row.SOPInstanceUID: row.labels for _, row in work.rows}
    unknown: tuple[int | None, ...] = (None,) * len(LABELS)
    table = [by_uid.get(header.SOPInstanceUID, unknown) for header in series.slices]
    labels = np.asarray(
        [[UNKNOWN if label is None else label for label in of_slice] for of_slice in table],
        dtype=np.int8,
    )
    if lesion is not None:
        labels[:, 0] = np.maximum(lesion_labels(lesion, work.grid), labels[:, 1:].max(axis=1))
    return labels


def _refuse_absent(work: SeriesWork, intake: Intake) -> None:
    """Every slice of the manifest must be in the series; one that repeats another may be left."""
    here = {header.SOPInstanceUID for header in intake.headers}
    absent = [number for number, row in work.rows if row.SOPInstanceUID not in here]
    if absent:
        raise ManifestError(
            f"{len(absent)} of its {len(work.rows)} rows name a slice that is not there, the first "
            f"in row {absent[0]}. Copy the whole series, or write the manifest again."
        )
    used = {header.SOPInstanceUID for header in intake.series.slices}
    if used.isdisjoint(row.SOPInstanceUID for _, row in work.rows):
        raise ManifestError("none of its rows is a slice of the stack that can be judged.")


def _refuse_unsplit(work: list[SeriesWork]) -> None:
    unsplit = [one.rows[0][0] for one in work if not one.rows[0][1].split]
    if unsplit:
        raise ManifestError(
            f"{len(unsplit)} series have no split, the first in row {unsplit[0]}. "
            "Assign patients with `ichtrain manifest split`."
        )


def _refuse_changed(work: SeriesWork, done: Prepared) -> None:
    """What was prepared must still say what the manifest says; it would be kept unseen."""
    number, row = work.rows[0]
    record = done.record(work.uid)
    names = ["patient", "site", "split", "annotation"]
    changed = [name for name in names if record[name] != getattr(row, name)]
    prepared = dict(zip(record["SOPInstanceUID"], record["labels"], strict=True))
    first = 1 if row.annotation == "mask" else 0  # with a mask, any is what the grid shows
    for row_number, one in work.rows:
        wanted = [UNKNOWN if label is None else label for label in one.labels]
        found = prepared.get(one.SOPInstanceUID)
        if found is not None and found[first:] != wanted[first:]:
            number, changed = row_number, [*changed, "labels"]
            break
    if changed:
        raise ManifestError(
            f"Row {number}: {', '.join(changed)} of series {work.uid} changed since {done.folder} "
            "was prepared. Prepare into another folder."
        )


def _write_skipped(folder: Path, skipped: dict[str, str]) -> None:
    try:
        write_whole(folder / SKIPPED_FILE, json.dumps(skipped, indent=1) + "\n")
    except OSError as error:
        raise DataError(f"{folder / SKIPPED_FILE} cannot be written ({error.strerror}).") from error
