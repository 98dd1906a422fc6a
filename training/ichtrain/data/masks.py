"""Mask file -> regions on the stored pixels of a series: NIfTI, DICOM SEG, or a phantom's npz.

The one file of this room that knows nibabel and highdicom. Nothing is resampled: a mask belongs
to its series voxel by voxel, or is refused with the sizes or places that differ. Any value but 0
is blood.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ichclient.headers import SliceHeader
from ichclient.series import Series
from ichexport.errors import MissingExtra
from ichtrain.data.patients import quiet
from ichtrain.errors import MaskError

WITHIN_VOXELS = 0.2
"""A voxel of a NIfTI mask must lie this close to a pixel of the series, on each axis."""

_LPS_FROM_RAS = np.diag(
    [-1.0, -1.0, 1.0, 1.0]
)  # NIfTI points right and forward, DICOM left and back

Planes = NDArray[np.bool_]


@dataclass(frozen=True)
class Regions:
    """What somebody drew on a series of n slices, inferior to superior, as the files store them.

    `by_value` holds bool [n, Rows, Columns] for each value or segment number that occurs; regions
    may overlap. `inside` is the inside of the skull, None where nobody drew it.
    """

    shape: tuple[int, int, int]
    by_value: Mapping[int, Planes]
    inside: Planes | None = None

    @property
    def blood(self) -> Planes:
        """All regions together, bool [n, Rows, Columns]."""
        drawn = np.zeros(self.shape, dtype=np.bool_)
        for planes in self.by_value.values():
            drawn |= planes
        return drawn


def regions_from_file(path: Path, series: Series) -> Regions:
    """Read a mask and lay it on the pixels of its series.

    NIfTI goes by its affine, DICOM SEG by the SOPInstanceUIDs it refers to and its frame of
    reference, masks.npz by the slices of the manifest.json beside it. Raises `MaskError`.
    """
    path = Path(path)
    if not path.is_file():
        raise MaskError(f"Mask {path} does not exist.")
    name = path.name.lower()
    if name.endswith((".nii", ".nii.gz")):
        return _regions_from_nifti(path, series)
    if name.endswith(".npz"):
        return _regions_from_npz(path, series)
    return _regions_from_seg(path, series)


def _shape(series: Series) -> tuple[int, int, int]:
    first = series.slices[0]
    return len(series.slices), int(first.Rows or 0), int(first.Columns or 0)


def _regions_from_nifti(path: Path, series: Series) -> Regions:
    nibabel = _library("nibabel")
    try:
        image: Any = nibabel.load(path)
        values = np.asarray(image.dataobj)
        affine = np.asarray(image.affine, dtype=np.float64)
    except Exception as error:  # nibabel raises many kinds on broken bytes
        raise MaskError(f"Mask {path} is no NIfTI that can be read ({error}).") from error
    if values.ndim == 4 and values.shape[3] == 1:
        values = values[..., 0]
    if values.ndim != 3 or not np.isfinite(values).all() or (values != np.rint(values)).any():
        raise MaskError(f"Mask {path} must be a 3-D volume of whole numbers, not {values.shape}.")
    count, rows, columns = _shape(series)
    if sorted(values.shape) != sorted((count, rows, columns)):
        raise MaskError(
            f"Mask {path} has {_times(values.shape)} voxels, its series {columns} x {rows} pixels "
            f"in {count} slices. Draw it on this very series, or export it without resampling."
        )
    if abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        raise MaskError(f"Mask {path} has an affine that is flat, so its voxels have no place.")
    _refuse_uneven(series, path)
    voxel_from_lps = np.linalg.inv(_LPS_FROM_RAS @ affine)
    planes = np.stack(
        [_plane(values, voxel_from_lps, header, path) for header in series.slices]
    ).astype(np.int64)
    found = {int(value): planes == value for value in np.unique(planes) if value}
    return Regions((count, rows, columns), found)


def _refuse_uneven(series: Series, path: Path) -> None:
    """An affine has one slice spacing; which slice was meant cannot be told where there are two."""
    places = [header.ImagePositionPatient or (0.0, 0.0, 0.0) for header in series.slices]
    steps = np.diff(np.asarray(places, dtype=np.float64), axis=0)
    if len(steps) and np.abs(steps - steps.mean(axis=0)).max() > series.slice_spacing_mm / 20:
        raise MaskError(
            f"Mask {path} cannot be placed: the slices of its series lie {_range_mm(steps)} mm "
            "apart, which no NIfTI can say. Store the mask as DICOM SEG."
        )


def _range_mm(steps: NDArray[np.float64]) -> str:
    lengths = np.linalg.norm(steps, axis=1)
    return f"{lengths.min():.2f} to {lengths.max():.2f}"


def _plane(
    values: NDArray[Any], voxel_from_lps: NDArray[np.float64], header: SliceHeader, path: Path
) -> NDArray[Any]:
    """The voxels under the pixels of one slice, [Rows, Columns]."""
    rows, columns = int(header.Rows or 0), int(header.Columns or 0)
    first, down, across = _voxels(voxel_from_lps, header)
    corners = np.stack(
        [first + down * r + across * c for r in (0, rows - 1) for c in (0, columns - 1)]
    )
    beside = float(np.abs(corners - np.rint(corners)).max())
    nearest = np.rint(corners).astype(int)
    outside = (nearest < 0).any() or (nearest >= values.shape).any()
    if beside > WITHIN_VOXELS or outside:
        place = "lie outside it" if outside else f"lie {beside:.2f} voxels beside its own"
        raise MaskError(
            f"Mask {path} has another frame than its series: the pixels of "
            f"{header.relative_path} {place}. Its affine must place every voxel on a pixel."
        )
    row, column = np.mgrid[:rows, :columns]
    voxel = np.rint(first + row[..., None] * down + column[..., None] * across).astype(int)
    return np.asarray(values[voxel[..., 0], voxel[..., 1], voxel[..., 2]])


def _voxels(
    voxel_from_lps: NDArray[np.float64], header: SliceHeader
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Voxel of the first pixel, and the steps in voxels to the next row and the next column."""
    # A chosen series has all three; its rules refuse stacks without.
    assert header.ImageOrientationPatient is not None
    assert header.ImagePositionPatient is not None
    assert header.PixelSpacing is not None
    orientation = np.asarray(header.ImageOrientationPatient, dtype=np.float64)
    row_spacing_mm, column_spacing_mm = header.PixelSpacing
    first = voxel_from_lps[:3, :3] @ np.asarray(header.ImagePositionPatient) + voxel_from_lps[:3, 3]
    down = voxel_from_lps[:3, :3] @ orientation[3:] * row_spacing_mm
    across = voxel_from_lps[:3, :3] @ orientation[:3] * column_spacing_mm
    return first, down, across


def _regions_from_seg(path: Path, series: Series) -> Regions:
    highdicom = _library("highdicom")
    try:
        with quiet():
            seg: Any = highdicom.seg.segread(path)
    except Exception as error:  # highdicom and pydicom raise many kinds
        raise MaskError(f"Mask {path} is neither NIfTI nor DICOM SEG ({error}).") from error
    frame = series.identity.FrameOfReferenceUID
    if str(seg.get("FrameOfReferenceUID", "")) != frame:
        raise MaskError(
            f"Mask {path} has the frame of reference {seg.get('FrameOfReferenceUID')}, "
            f"its series {frame}."
        )
    count, rows, columns = _shape(series)
    if (seg.Rows, seg.Columns) != (rows, columns):
        raise MaskError(
            f"Mask {path} has {seg.Columns} x {seg.Rows} pixels, its series {columns} x {rows}."
        )
    return Regions((count, rows, columns), _segments(seg, series, path))


def _segments(seg: Any, series: Series, path: Path) -> dict[int, Planes]:
    """Each segment that is not empty, on the slices that the SEG refers to; elsewhere nothing."""
    here = [header.SOPInstanceUID for header in series.slices]
    try:
        _refuse_displaced(seg, series, path)
        numbers = [int(number) for number in seg.segment_numbers]
        drawn = np.asarray(
            seg.get_pixels_by_source_instance(
                source_sop_instance_uids=here,
                segment_numbers=numbers,
                ignore_spatial_locations=True,  # many leave it unsaid; the places were compared
                assert_missing_frames_are_empty=True,
            )
        )
    except MaskError:
        raise
    except Exception as error:  # highdicom raises many kinds on a SEG that it cannot index
        raise MaskError(f"Mask {path} cannot be laid on its series ({error}).") from error
    drawn = drawn >= (0.5 if np.issubdtype(drawn.dtype, np.floating) else 1)
    found = {number: drawn[..., index] for index, number in enumerate(numbers)}
    return {number: planes for number, planes in found.items() if planes.any()}


def _refuse_displaced(seg: Any, series: Series, path: Path) -> None:
    """Compare where each frame lies with where the slice it refers to lies."""
    by_uid = {header.SOPInstanceUID: header for header in series.slices}
    shared = seg.SharedFunctionalGroupsSequence[0]
    for frame in seg.PerFrameFunctionalGroupsSequence:
        uid = frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        if uid not in by_uid:
            raise MaskError(f"Mask {path} refers to instance {uid}, which is not in its series.")
        header = by_uid[uid]
        groups = (frame, shared)
        place = _of_frame(groups, "PlanePositionSequence", "ImagePositionPatient")
        turn = _of_frame(groups, "PlaneOrientationSequence", "ImageOrientationPatient")
        spacing = _of_frame(groups, "PixelMeasuresSequence", "PixelSpacing")
        for name, found, own, within in (
            ("ImagePositionPatient", place, header.ImagePositionPatient, min(spacing) / 5),
            ("ImageOrientationPatient", turn, header.ImageOrientationPatient, 1e-3),
            ("PixelSpacing", spacing, header.PixelSpacing, 1e-3),
        ):
            if own is None or np.abs(np.subtract(found, own)).max() > within:
                raise MaskError(
                    f"Mask {path} has another frame than its series: {name} is {found}, that of "
                    f"{header.relative_path} is {list(own or ())}."
                )


def _of_frame(groups: tuple[Any, ...], sequence: str, keyword: str) -> list[float]:
    """A value of a frame, from its own functional groups or from those that all frames share."""
    for group in groups:
        if sequence in group:
            return [float(value) for value in group[sequence][0][keyword].value]
    raise MaskError(f"The SEG says no {keyword}.")


def _regions_from_npz(path: Path, series: Series) -> Regions:
    shape = _shape(series)
    try:
        manifest = json.loads(path.with_name("manifest.json").read_text(encoding="utf-8"))
        order = {one["SOPInstanceUID"]: index for index, one in enumerate(manifest["slices"])}
        with np.load(path, allow_pickle=False) as arrays:
            lesion, inside = arrays["lesion"], arrays["intracranial"] > 0
    except (OSError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise MaskError(f"Mask {path} or the manifest.json beside it is broken: {error}") from error
    if lesion.shape[1:] != shape[1:] or not len(lesion) == len(inside) == len(order):
        raise MaskError(
            f"Mask {path} has {_times(lesion.shape)} pixels, its series {_times(shape)}."
        )
    missing = [one.SOPInstanceUID for one in series.slices if one.SOPInstanceUID not in order]
    if missing:
        raise MaskError(f"Mask {path} knows nothing of slice {missing[0]} of its series.")
    pick = [order[one.SOPInstanceUID] for one in series.slices]
    lesion = lesion[pick]
    found = {int(value): lesion == value for value in np.unique(lesion) if value}
    return Regions(shape, found, inside[pick])


def _library(name: str) -> Any:
    try:
        if name == "nibabel":
            import nibabel

            return nibabel
        import highdicom

        return highdicom
    except ImportError as error:
        raise MissingExtra(
            f"This mask needs {name} ({error}); run: pip install 'ich-triton[training]'"
        ) from error


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(str(size) for size in shape)
