"""A mask lands on the very voxels it was drawn on, or is refused with what differs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ichclient.series import Series
from ichtrain.data.drawn import labels_from_regions, lesion_ml_from_blood
from ichtrain.data.intake import intake_from_paths
from ichtrain.data.masks import regions_from_file
from ichtrain.data.readers.masks import MasksOptions, rows_from_masks
from ichtrain.data.rows import checked
from ichtrain.errors import DataError, ManifestError, MaskError
from ichtrain.phantom import Phantom


@pytest.fixture(scope="module")
def drawn(make: type) -> Phantom:
    """Blood of two subtypes, off the middle on every axis."""
    phantom = make.phantom("sdh")
    phantom.lesion[3, 30:36, 40:44] = 4
    return phantom


@pytest.fixture(scope="module")
def series(drawn: Phantom, make: type, tmp_path_factory: pytest.TempPathFactory) -> Series:
    return intake_from_paths([make.study(drawn, tmp_path_factory.mktemp("s") / "s")]).series


def seg_of(drawn: Phantom, make: type, path: Path, **tags: Any) -> Path:
    """A DICOM SEG with one segment for each subtype that is drawn, empty frames left out."""
    import highdicom
    from pydicom.sr.codedict import codes

    segments = [
        highdicom.seg.SegmentDescription(
            number, f"blood {number}", codes.SCT.MorphologicallyAbnormalStructure,
            codes.SCT.Hemorrhage, highdicom.seg.SegmentAlgorithmTypeValues.MANUAL,
        )
        for number in (1, 2)
    ]  # fmt: skip
    planes = np.stack([drawn.lesion == 1, drawn.lesion == 4], axis=-1)
    seg = highdicom.seg.Segmentation(
        make.datasets(drawn, **tags), planes, highdicom.seg.SegmentationTypeValues.BINARY, segments,
        highdicom.UID(), 9, highdicom.UID(), 1, "nobody", "none", "1", "1",
    )  # fmt: skip
    seg.save_as(path)
    return path


@pytest.mark.parametrize("turned", ["", "0", "1", "2", "0,1,2", "swapped", "swapped,1"])
def test_a_nifti_lands_where_it_was_drawn_however_it_is_stored(
    series: Series, drawn: Phantom, make: type, tmp_path: Path, turned: str
) -> None:
    path = make.nifti(drawn, drawn.lesion, tmp_path / "mask.nii.gz", turned)
    regions = regions_from_file(path, series)
    assert set(regions.by_value) == {1, 4}
    for value, planes in regions.by_value.items():
        assert np.array_equal(planes, drawn.lesion == value)


def test_a_nifti_of_another_size_is_refused_with_both_sizes(
    series: Series, drawn: Phantom, make: type, tmp_path: Path
) -> None:
    path = make.nifti(drawn, drawn.lesion[1:], tmp_path / "mask.nii")
    with pytest.raises(MaskError, match=r"64 x 64 x 11 voxels, its series 64 x 64 pixels in 12"):
        regions_from_file(path, series)


@pytest.mark.parametrize("shift_mm", [1.2, -40.0])
def test_a_nifti_of_another_place_is_refused(
    series: Series, drawn: Phantom, make: type, tmp_path: Path, shift_mm: float
) -> None:
    import nibabel

    path = make.nifti(drawn, drawn.lesion, tmp_path / "mask.nii")
    image = nibabel.load(path)
    affine = image.affine.copy()
    affine[1, 3] += shift_mm
    nibabel.save(nibabel.Nifti1Image(np.asarray(image.dataobj), affine), tmp_path / "moved.nii")
    with pytest.raises(MaskError, match=r"moved\.nii has another frame.*IM\d+\.dcm"):
        regions_from_file(tmp_path / "moved.nii", series)


def test_a_seg_lands_on_the_slices_it_refers_to(
    series: Series, drawn: Phantom, make: type, tmp_path: Path
) -> None:
    regions = regions_from_file(seg_of(drawn, make, tmp_path / "seg.dcm"), series)
    assert np.array_equal(regions.by_value[1], drawn.lesion == 1)
    assert np.array_equal(regions.by_value[2], drawn.lesion == 4)


@pytest.mark.parametrize(
    ("tags", "told"),
    [
        ({"FrameOfReferenceUID": "1.2.3"}, r"frame of reference 1\.2\.3"),
        (
            {"SOPInstanceUID": lambda index: f"1.2.9.{index}"},
            r"instance 1\.2\.9\.\d+, which is not",
        ),
        ({"ImagePositionPatient": lambda i: [-90, -110, 8 * i]}, "ImagePositionPatient is"),
    ],
)
def test_a_seg_of_another_series_is_refused(
    series: Series, drawn: Phantom, make: type, tmp_path: Path, tags: dict[str, Any], told: str
) -> None:
    with pytest.raises(MaskError, match=told):
        regions_from_file(seg_of(drawn, make, tmp_path / "seg.dcm", **tags), series)


@pytest.mark.parametrize("name", ["gone.nii", "text.nii", "text.dcm", "text.npz"])
def test_a_mask_that_cannot_be_read_is_named(series: Series, tmp_path: Path, name: str) -> None:
    if name.startswith("text"):
        (tmp_path / name).write_text("no mask")
    with pytest.raises(MaskError, match=name):
        regions_from_file(tmp_path / name, series)


def test_labels_follow_the_meaning_of_values(
    series: Series, drawn: Phantom, make: type, tmp_path: Path
) -> None:
    regions = regions_from_file(make.nifti(drawn, drawn.lesion, tmp_path / "m.nii"), series)
    labels = labels_from_regions(regions, series, {1: "sdh", 4: "lesion"})
    assert labels[3] == (1, None, None, None, None, None)
    assert labels[5] == (1, 1, None, None, None, None)
    assert labels[0] == (0,) * 6
    assert labels_from_regions(regions, series, {})[5] == (1, None, None, None, None, None)
    with pytest.raises(MaskError, match=r"the value\(s\) 4"):
        labels_from_regions(regions, series, {1: "sdh"})
    blood_ml = (drawn.lesion > 0).sum() * drawn.voxel_ml
    assert lesion_ml_from_blood(regions.blood, series) == pytest.approx(blood_ml, rel=1e-4)


@pytest.fixture
def cases(drawn: Phantom, make: type, tmp_path: Path) -> Path:
    """Three cases: a NIfTI, a SEG and none beside the series."""
    normal = make.phantom("normal", 5)
    for name, phantom in (("nifti", drawn), ("seg", make.phantom("iph", 3)), ("none", normal)):
        make.files(make.datasets(phantom), lambda i, _, n=name: tmp_path / n / "ct" / f"{i}.dcm")
        if name == "nifti":
            make.nifti(phantom, phantom.lesion, tmp_path / name / "mask.nii.gz")
        if name == "seg":
            seg_of(phantom, make, tmp_path / name / "drawn")
    return tmp_path


def test_every_case_of_a_folder_is_read_with_the_mask_beside_it(cases: Path) -> None:
    options = MasksOptions(
        meaning={1: "sdh", 2: "iph", 4: "iph"}, no_mask_is_normal=True, patients="folder"
    )
    rows = checked(rows_from_masks(cases, options).rows)
    found = {row.patient: (row.annotation, row.mask and row.mask.name) for row in rows}
    assert found == {
        "nifti": ("mask", "mask.nii.gz"), "seg": ("mask", "drawn"), "none": ("slice", None)
    }  # fmt: skip
    assert {row.lesion_ml for row in rows if row.patient == "none"} == {0.0}
    assert [r.labels[0] for r in rows if r.patient == "nifti"].count(1) == 3
    assert [r.labels[4] for r in rows if r.patient == "seg"].count(1) == 2


def test_a_case_without_a_mask_is_refused_unless_that_means_normal(cases: Path) -> None:
    with pytest.raises(MaskError, match="none: it has no mask"):
        rows_from_masks(cases)


def test_two_masks_in_a_case_are_refused(cases: Path) -> None:
    (cases / "nifti" / "other.nii").write_bytes(b"")
    with pytest.raises(MaskError, match=r"2 masks, mask\.nii\.gz, other\.nii"):
        rows_from_masks(cases)


def test_a_table_names_series_masks_and_patients(cases: Path) -> None:
    table = cases / "cases.csv"
    table.write_text("series,mask,patient,split\nnifti/ct,nifti/mask.nii.gz,A,test\n")
    rows = checked(rows_from_masks(table).rows)
    assert {(row.patient, row.split, row.series.name) for row in rows} == {("A", "test", "ct")}
    table.write_text("series,mask,age\nnifti/ct,,7\n")
    with pytest.raises(ManifestError, match="give series and mask"):
        rows_from_masks(table)


def test_a_patient_of_a_header_becomes_a_code(cases: Path) -> None:
    rows = rows_from_masks(cases, MasksOptions(no_mask_is_normal=True)).rows
    assert all(row.patient.startswith("P") and "PHANTOM" not in row.patient for row in rows)


@pytest.mark.parametrize("meaning", [{1: "tumour"}, {0: "sdh"}])
def test_a_meaning_that_no_label_has_is_refused(meaning: dict[int, str]) -> None:
    with pytest.raises(DataError, match="--label"):
        MasksOptions(meaning=meaning)


def test_a_nifti_on_unevenly_spaced_slices_is_refused_and_a_seg_is_not(
    drawn: Phantom, make: type, tmp_path: Path
) -> None:
    tags = {"ImagePositionPatient": lambda i: [-110.25, -110.25, 5.0 * i + 4.0 * max(0, i - 6)]}
    make.files(make.datasets(drawn, **tags), lambda i, _: tmp_path / "ct" / f"{i}.dcm")
    uneven = intake_from_paths([tmp_path / "ct"]).series
    path = make.nifti(drawn, drawn.lesion, tmp_path / "mask.nii")
    with pytest.raises(MaskError, match=r"lie 5\.00 to 9\.00 mm apart.*DICOM SEG"):
        regions_from_file(path, uneven)
    regions = regions_from_file(seg_of(drawn, make, tmp_path / "seg.dcm", **tags), uneven)
    assert np.array_equal(regions.blood, drawn.lesion > 0)


def test_a_nifti_follows_the_tilt_of_the_gantry(make: type, tmp_path: Path) -> None:
    tilted = make.phantom("ivh", tilt=14.0)
    series = intake_from_paths([make.study(tilted, tmp_path / "s")]).series
    assert series.gantry_tilt_degrees == pytest.approx(14.0, abs=0.01)
    path = make.nifti(tilted, tilted.lesion, tmp_path / "mask.nii", "2,0")
    assert np.array_equal(regions_from_file(path, series).blood, tilted.lesion > 0)
