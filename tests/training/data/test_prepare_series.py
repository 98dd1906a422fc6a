"""What is prepared is what the client would send, masks lie on their blood, and runs go on."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ichcore import Grid
from ichtrain.data import Prepared, PreparedWriter
from ichtrain.data.prepare import (
    SKIPPED_FILE,
    PrepareOptions,
    SeriesWork,
    labelled_series_from_work,
    prepare_series,
)
from ichtrain.data.prepared import INDEX_FILE
from ichtrain.data.readers.masks import MasksOptions, rows_from_masks
from ichtrain.data.readers.phantoms import PhantomsOptions, rows_from_phantoms
from ichtrain.data.rows import SliceRow
from ichtrain.data.series import LabelledSeries
from ichtrain.errors import DataError, ManifestError, MaskError, SplitLeak
from ichtrain.phantoms import series_from_phantom

GRID = Grid(96, 96, 2.5)
OPTIONS = PrepareOptions(GRID)


@pytest.fixture(scope="module")
def rows(phantoms: Path) -> tuple[SliceRow, ...]:
    return rows_from_phantoms(phantoms, PhantomsOptions(split="train")).rows


def prepared_case(folder: Path, **options: Any) -> LabelledSeries:
    """The one case of a folder, on the grid."""
    rows = rows_from_masks(folder, MasksOptions(split="test", **options)).rows
    return labelled_series_from_work(SeriesWork(tuple(enumerate(rows, 1)), GRID))


def test_a_phantom_is_the_same_through_dicom_and_straight_to_the_grid(
    rows: tuple[SliceRow, ...], tmp_path: Path, make: type
) -> None:
    prepare_series(tmp_path / "p", rows, OPTIONS)
    prepared = Prepared(tmp_path / "p")
    assert len(prepared) == 4
    through = next(one for one in prepared.split("train") if one.patient == "PHANTOM-sdh-0")
    straight = series_from_phantom(make.phantom("sdh", 0), "1.2", "train", GRID)
    for name in ("hu", "lesion", "brain", "labels"):
        assert np.array_equal(getattr(through, name), getattr(straight, name)), name
    assert through.SOPInstanceUID == straight.SOPInstanceUID
    assert np.allclose(through.position_mm, straight.position_mm, atol=1e-3)
    assert through.lesion_ml == pytest.approx(straight.lesion_ml, abs=1e-3)


STORED: dict[str, tuple[Callable[[Any], Any], list[float], tuple[int, int]]] = {
    # how the pixels are stored, with which ImageOrientationPatient, and which corner comes first
    "rows backwards": (lambda plane: plane[::-1], [1, 0, 0, 0, -1, 0], (1, 0)),
    "columns backwards": (lambda plane: plane[:, ::-1], [-1, 0, 0, 0, 1, 0], (0, 1)),
    "half a turn": (lambda plane: plane[::-1, ::-1], [-1, 0, 0, 0, -1, 0], (1, 1)),
    "a quarter turn": (lambda plane: plane.T[::-1], [0, 1, 0, -1, 0, 0], (0, 1)),
    "transposed": (lambda plane: plane.T, [0, 1, 0, 1, 0, 0], (0, 0)),
}


@pytest.mark.parametrize("stored", STORED)
def test_a_mask_stays_on_its_blood_however_the_pixels_are_turned(
    stored: str, make: type, tmp_path: Path
) -> None:
    turn, orientation, corner = STORED[stored]
    phantom = make.phantom("iph")
    upright = make.datasets(phantom)
    reach = (len(phantom.hu[0]) - 1) * phantom.pixel_spacing_mm

    def position(index: int) -> list[float]:
        x, y, z = upright[index].ImagePositionPatient
        return [x + corner[1] * reach, y + corner[0] * reach, z]

    turned = make.datasets(
        phantom,
        ImageOrientationPatient=orientation,
        ImagePositionPatient=position,
        PixelData=lambda i: np.ascontiguousarray(turn(phantom.hu[i]), dtype="<i2").tobytes(),
    )
    for name, datasets in (("upright", upright), ("turned", turned)):
        make.files(datasets, lambda i, _, n=name: tmp_path / n / "case" / f"{i}.dcm")
        make.nifti(phantom, phantom.lesion, tmp_path / name / "case" / "m.nii.gz")
    one, other = prepared_case(tmp_path / "upright"), prepared_case(tmp_path / "turned")
    assert np.array_equal(one.hu, other.hu)
    assert one.lesion is not None
    assert other.lesion is not None
    assert np.array_equal(one.lesion, other.lesion)
    # Blood of 70 HU is drawn on by its mask, and nothing else is as dense.
    blood = (one.hu > 60) & (one.hu < 80)
    coarse = blood.reshape(len(blood), 48, 2, 48, 2).mean(axis=(2, 4))
    drawn = one.lesion / 255.0
    assert (np.minimum(coarse, drawn).sum() / drawn.sum()) > 0.7
    assert np.array_equal(np.flatnonzero(one.labels[:, 0]), [5, 6])


def test_a_run_that_was_killed_goes_on_where_it_ended(
    rows: tuple[SliceRow, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add, added = PreparedWriter.add, []

    def killed(writer: PreparedWriter, series: LabelledSeries) -> None:
        if len(added) == 2:
            raise KeyboardInterrupt
        added.append(series.SeriesInstanceUID)
        add(writer, series)

    monkeypatch.setattr(PreparedWriter, "add", killed)
    with pytest.raises(KeyboardInterrupt):
        prepare_series(tmp_path, rows, OPTIONS)
    monkeypatch.undo()
    with (tmp_path / INDEX_FILE).open("a") as index:
        index.write('{"SeriesInstanceUID": "1.2')  # and in the middle of a line
    assert Prepared(tmp_path).uids == tuple(added)
    record = prepare_series(tmp_path, rows, OPTIONS)
    assert (record.written, record.kept) == (2, 2)
    assert [len(one.hu) for one in Prepared(tmp_path).split("train")] == [12] * 4


def test_two_processes_write_what_one_does(rows: tuple[SliceRow, ...], tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    prepare_series(tmp_path / "one", rows, OPTIONS)
    prepare_series(
        tmp_path / "two", rows, replace(OPTIONS, workers=2), lambda *done: seen.append(done)
    )
    index = [(tmp_path / name / INDEX_FILE).read_text() for name in ("one", "two")]
    assert index[0] == index[1]
    assert seen == [(done, 4) for done in range(5)]


def test_a_full_disk_ends_the_run_and_keeps_what_is_done(
    rows: tuple[SliceRow, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, saved = np.save, []

    def full(path: Path, array: Any) -> None:
        if len(saved) == 4:  # the second array of the second series
            raise OSError(28, "No space left on device")
        saved.append(path)
        save(path, array)

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(DataError, match=r"No space left on device.*what is done is kept"):
        prepare_series(tmp_path, rows, replace(OPTIONS, skip_broken=True))
    monkeypatch.undo()
    assert len(list((tmp_path / "arrays").iterdir())) == len(Prepared(tmp_path)) == 1
    assert prepare_series(tmp_path, rows, OPTIONS).kept == 1


def broken_files(source: Path) -> None:
    victim = sorted(source.rglob("*.dcm"))[4]
    victim.write_bytes(victim.read_bytes()[:-700])


def missing_slice(source: Path) -> None:
    sorted(source.rglob("*.dcm"))[4].unlink()


def missing_end(source: Path) -> None:
    sorted(source.glob("*.dcm"))[-1].unlink()


def missing_mask(source: Path) -> None:
    next(source.rglob("masks.npz")).unlink()


def small_mask(source: Path) -> None:
    path = next(source.rglob("masks.npz"))
    with np.load(path) as arrays:
        cut = {name: array[:, 1:] for name, array in arrays.items()}
    np.savez(path, **cut)


BROKEN = {
    broken_files: "IM0005.dcm: its pixel data hold",
    missing_slice: r"\n.*There is a 16\.0 mm gap after slice 4",
    missing_end: "1 of its 12 rows name a slice that is not there, the first in row 12",
    missing_mask: "masks.npz does not exist",
    small_mask: "masks.npz has 12 x 63 x 64 pixels",
}


@pytest.mark.parametrize("damage", BROKEN, ids=lambda damage: damage.__name__)
def test_what_is_broken_is_named_or_left_out(
    damage: Callable[[Path], None], make: type, tmp_path: Path
) -> None:
    make.study(make.phantom("sah", 1), tmp_path / "s" / "a")
    make.study(make.phantom("normal", 2), tmp_path / "s" / "b")
    rows = rows_from_phantoms(tmp_path / "s", PhantomsOptions(split="test")).rows
    damage(tmp_path / "s" / "a")
    with pytest.raises(DataError, match=rf"Series 1\.2\.\S+ \(row 1, .*\): .*{BROKEN[damage]}"):
        prepare_series(tmp_path / "p", rows, OPTIONS)
    record = prepare_series(tmp_path / "p", rows, replace(OPTIONS, skip_broken=True))
    (uid,) = record.skipped
    assert record.written == 1
    assert uid not in Prepared(tmp_path / "p").uids
    assert json.loads((tmp_path / "p" / SKIPPED_FILE).read_text()) == record.skipped


def test_a_label_against_the_mask_is_refused(rows: tuple[SliceRow, ...], tmp_path: Path) -> None:
    own = [row for row in rows if row.patient == "PHANTOM-sdh-0"]
    own[0] = replace(own[0], labels=(1,) * 6)
    with pytest.raises(MaskError, match="row 1, any: is 1, but 0 mm2"):
        prepare_series(tmp_path, own, OPTIONS)


def test_a_series_known_to_be_normal_has_an_empty_mask(make: type, tmp_path: Path) -> None:
    make.files(make.datasets(make.phantom("normal")), lambda i, _: tmp_path / "case" / f"{i}.dcm")
    series = prepared_case(tmp_path, no_mask_is_normal=True)
    assert series.is_normal
    assert series.lesion is not None
    assert not series.lesion.any()
    assert (series.brain, series.lesion_ml, series.annotation) == (None, 0.0, "slice")


def test_splits_are_refused_where_they_leak_or_lack(
    rows: tuple[SliceRow, ...], tmp_path: Path
) -> None:
    prepare_series(tmp_path, rows[:12], OPTIONS)
    moved = replace(rows[12], split="test", patient=rows[0].patient)
    with pytest.raises(SplitLeak, match=rows[0].patient):
        prepare_series(tmp_path, [moved], OPTIONS)
    with pytest.raises(ManifestError, match="1 series have no split, the first in row 1"):
        prepare_series(tmp_path, [replace(rows[12], split="")], OPTIONS)
    assert len(Prepared(tmp_path)) == 1


@pytest.mark.parametrize("changed", [{"site": "elsewhere"}, {"labels": (0, 0, 0, 0, 0, 1)}])
def test_a_manifest_that_changed_since_is_refused(
    rows: tuple[SliceRow, ...], tmp_path: Path, changed: dict[str, Any]
) -> None:
    prepare_series(tmp_path, rows[:12], OPTIONS)
    with pytest.raises(ManifestError, match=f"{next(iter(changed))} of series .* changed since"):
        prepare_series(tmp_path, [replace(row, **changed) for row in rows[:12]], OPTIONS)


def test_a_folder_of_another_grid_is_refused(rows: tuple[SliceRow, ...], tmp_path: Path) -> None:
    prepare_series(tmp_path, rows[:12], OPTIONS)
    with pytest.raises(DataError, match="another grid"):
        prepare_series(tmp_path, rows[:12], PrepareOptions(Grid(64, 64, 3.5)))
