"""ICBM 152 average anatomy -> fields of one head: tissue shares and signed distances.

The atlas is the non-linear average of 152 magnetic resonance scans of normal brains that nilearn
ships (Fonov et al., NeuroImage 2011, 54:313-327): shares of grey and white matter, no CT and no
single person. Skull, scalp, blood and the scanner are ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ichtrain.errors import MissingAtlas
from ichtrain.phantom.fields import Field, SlicePoints, upsampled

Distance = npt.NDArray[np.float64]
"""Millimetres, of every voxel of a volume."""

_ORIGIN_MM = np.array([98.0, 114.0, 72.0], dtype=np.float32)
"""Atlas voxel of the head's origin: 20 mm behind the anterior commissure."""

_COARSE_MM = 2.0
_PADDING_MM = 40.0
"""Distances are known this far beyond the atlas, where scalp and face lie."""

_BASE_MM = -64.0
_BRAIN_SHARE = 0.5


@dataclass(frozen=True)
class Atlas:
    """Volumes in the atlas's own axes: grey and white share (uint8 of 255) at 1 mm, the rest at 2.

    `outside_mm` is the distance from the surface of the closed brain, negative inside; `hull_mm`
    the same for the skull's smooth outer form; `ventricle_mm` from the walls of the ventricles.
    """

    grey: npt.NDArray[np.uint8]
    white: npt.NDArray[np.uint8]
    outside_mm: Field
    hull_mm: Field
    ventricle_mm: Field


@dataclass(frozen=True)
class Sampled:
    """The atlas at the points of one slice, fields [R, C]."""

    grey: Field
    white: Field
    outside_mm: Field
    ventricle_mm: Field


def tissue_at(points: SlicePoints) -> Sampled:
    """Shares of grey and white matter, and distances, at head coordinates."""
    atlas = loaded_atlas()
    voxels = _voxels(points)
    outside_mm, ventricle_mm = (
        _coarse(volume, voxels) for volume in (atlas.outside_mm, atlas.ventricle_mm)
    )
    return Sampled(*_shares_at(atlas, voxels), outside_mm, ventricle_mm)


def _shares_at(atlas: Atlas, voxels: npt.NDArray[np.float32]) -> tuple[Field, Field]:
    """Grey and white share at the nearest voxel; the mean over a thick slice smooths the steps."""
    shape = atlas.grey.shape
    nearest = np.rint(voxels).astype(np.int32)
    known = np.all((nearest >= 0) & (nearest < np.reshape(shape, (3, 1, 1))), axis=0)
    first, second, third = (np.clip(nearest[k], 0, shape[k] - 1) for k in range(3))
    index = (first * shape[1] + second) * shape[2] + third
    scale = known * np.float32(1 / 255)
    return np.take(atlas.grey, index) * scale, np.take(atlas.white, index) * scale


def surface_at(points: SlicePoints) -> tuple[Field, Field]:
    """Distance from the brain's surface and from the hull, in mm, at head coordinates."""
    atlas, voxels = loaded_atlas(), _voxels(points)
    return _coarse(atlas.outside_mm, voxels), _coarse(atlas.hull_mm, voxels)


def _voxels(points: SlicePoints) -> npt.NDArray[np.float32]:
    # Head coordinates run left, posterior, superior; the atlas right, anterior, superior.
    x, y, z = _ORIGIN_MM
    return np.stack([x - points.x, y - points.y, z + points.z])


def _coarse(volume: Field, voxels: npt.NDArray[np.float32]) -> Field:
    """A 2 mm volume, read at every second pixel: distances are too smooth to need each."""
    rows, columns = voxels.shape[1:]
    # The middle of each two by two pixels is the middle of its diagonal.
    middle = (voxels[:, ::2, ::2] + voxels[:, 1::2, 1::2]) / np.float32(2)
    places = (middle + np.float32(_PADDING_MM)) / np.float32(_COARSE_MM)
    read = ndimage.map_coordinates(volume, places, np.float32, order=1, mode="nearest")
    return upsampled(read, (rows, columns))


@lru_cache(maxsize=1)
def loaded_atlas() -> Atlas:
    """Read and derive the volumes once a process, in about three seconds.

    Raises `MissingAtlas` where nilearn is not installed.
    """
    grey, white = _shares()
    brain = _on_coarse(np.clip(grey + white, 0.0, 1.0)) > _BRAIN_SHARE
    beyond_mm = _beyond_mm(brain)
    closed = _cavity(brain, beyond_mm)
    csf = _closed(brain, beyond_mm, 16.0) & ~(_on_coarse(grey + white) > 0.45)
    beyond_mm = _beyond_mm(closed)
    outside_mm = _signed_mm(closed, beyond_mm)
    hull, ventricles = _hull(closed, beyond_mm), _ventricles(csf, outside_mm)
    return Atlas(
        grey=_bytes(grey),
        white=_bytes(white),
        outside_mm=outside_mm,
        hull_mm=_signed_mm(hull, _beyond_mm(hull)),
        ventricle_mm=_signed_mm(ventricles, _beyond_mm(ventricles)),
    )


def _shares() -> tuple[Field, Field]:
    """Grey and white share, as nilearn's own loaders give them at 1 mm.

    The files are read where nilearn keeps them: importing it takes longer than all that follows.
    """
    try:
        import nibabel

        package = find_spec("nilearn")
        if package is None or package.origin is None:
            raise ImportError("nilearn is not installed")
        folder = Path(package.origin).parent / "datasets" / "data"
        shares = []
        for tissue in ("gm", "wm"):
            path = folder / f"mni_icbm152_{tissue}_tal_nlin_sym_09a_converted.nii.gz"
            image = nibabel.Nifti1Image.from_filename(path)
            values = np.asarray(image.dataobj, dtype=np.float32)
            shares.append(values / values.max())
    except (ImportError, FileNotFoundError) as error:
        raise MissingAtlas(
            "Phantoms need nilearn's atlas: pip install 'ich-triton[training]'"
        ) from error
    return shares[0], shares[1]


def _on_coarse(values: Field) -> Field:
    """A 1 mm volume, padded, at every second voxel of its smoothed form."""
    smooth: Field = np.pad(values, int(_PADDING_MM))
    every_second = slice(None, None, int(_COARSE_MM))
    for axis in range(3):
        kept = tuple(every_second if axis == other else slice(None) for other in range(3))
        smooth = ndimage.gaussian_filter1d(smooth, 0.7, axis)[kept]
    return smooth


def _beyond_mm(inside: npt.NDArray[np.bool_]) -> Distance:
    """Distance of every voxel outside from the nearest one inside; 0 inside."""
    distance: Distance = ndimage.distance_transform_edt(~inside, _COARSE_MM)
    return distance


def _depth_mm(inside: npt.NDArray[np.bool_]) -> Distance:
    """Distance of every voxel inside from the nearest one outside; 0 outside."""
    depth = np.zeros(inside.shape)
    # The nearest voxel outside lies in the box around what is inside, or on the rim of that box.
    box = tuple(
        slice(max(0, side.start - 1), side.stop + 1)
        for side in ndimage.find_objects(inside.astype(np.uint8))[0]
    )
    depth[box] = ndimage.distance_transform_edt(inside[box], _COARSE_MM)
    return depth


def _closed(
    inside: npt.NDArray[np.bool_], beyond_mm: Distance, radius_mm: float
) -> npt.NDArray[np.bool_]:
    """Morphological closing by a ball, through two distance transforms, one of them given."""
    return np.asarray(_depth_mm(beyond_mm <= radius_mm) > radius_mm) | inside


def _height_mm(volume: npt.NDArray[np.generic]) -> npt.NDArray[np.float64]:
    """Height of every layer over the head's origin."""
    layers = np.arange(volume.shape[2], dtype=np.float64)
    return layers * _COARSE_MM - _PADDING_MM - float(_ORIGIN_MM[2])


def _cavity(brain: npt.NDArray[np.bool_], beyond_mm: Distance) -> npt.NDArray[np.bool_]:
    """Brain with its sulci and cisterns: smooth under the vault, with fossae at the base."""
    cavity, smooth = (_closed(brain, beyond_mm, radius_mm) for radius_mm in (8.0, 28.0))
    vault = _height_mm(brain) > -8.0
    cavity[:, :, vault] |= smooth[:, :, vault]
    return cavity


def _hull(closed: npt.NDArray[np.bool_], beyond_mm: Distance) -> npt.NDArray[np.bool_]:
    """The form that the skull's outside follows: fossae filled, and the vault drawn down."""
    hull, height = _closed(closed, beyond_mm, 36.0), _height_mm(closed)
    outline = hull[:, :, int(np.argmin(np.abs(height + 14.0)))]
    for top, bottom, narrower in ((-14.0, _BASE_MM, 2), (_BASE_MM, -999.0, 5)):
        layer = (height < top) & (height >= bottom)
        hull[:, :, layer] |= ndimage.binary_erosion(outline, iterations=narrower)[:, :, None]
    return hull


def _ventricles(csf: npt.NDArray[np.bool_], outside_mm: Field) -> npt.NDArray[np.bool_]:
    """Fluid deep in the brain, in the boxes that hold the lateral, third and fourth ventricles."""
    index = np.indices(csf.shape, dtype=np.float32) * _COARSE_MM - _PADDING_MM
    right, anterior, up = (index[axis] - _ORIGIN_MM[axis] for axis in range(3))
    posterior, side = -anterior, np.abs(right)
    lateral = (side < 40) & (np.abs(posterior - 8) < 62) & (up > -2) & (up < 36)
    lateral &= ~((side < 12) & (posterior > 14) & (up < 14))
    third = (side < 4) & (posterior > -22) & (posterior < 10) & (up > -8) & (up < 12)
    fourth = (side < 10) & (posterior > 16) & (posterior < 40) & (up > -44) & (up < -18)
    return np.asarray(csf & (outside_mm < -9.0) & (lateral | third | fourth))


def _signed_mm(inside: npt.NDArray[np.bool_], beyond_mm: Distance) -> Field:
    """Signed distance to the border, negative inside, smoothed over the voxel steps."""
    signed = (beyond_mm - _depth_mm(inside)).astype(np.float32)
    smooth: Field = ndimage.gaussian_filter(signed, 0.8)
    return smooth


def _bytes(share: Field) -> npt.NDArray[np.uint8]:
    # In C order: `np.take` copies a whole volume in any other, for every sample of every slice.
    return np.ascontiguousarray(np.rint(np.clip(share, 0.0, 1.0) * 255.0), dtype=np.uint8)
