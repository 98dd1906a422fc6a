"""Phantom -> study folder: CT files, masks.npz and manifest.json, all or nothing."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from ichtrain.errors import OutputFolderError
from ichtrain.phantom.dicom import SeriesIdentity, dataset_from_slice, write_dataset
from ichtrain.phantom.options import SUBTYPES, Lesion, Phantom

MANIFEST_VERSION = 1


def write_study(phantom: Phantom, folder: Path, compress: bool = False) -> Path:
    """Write IM0001.dcm ..., masks.npz and manifest.json into a new folder, and return it.

    masks.npz holds `lesion` (uint8 of `Lesion`) and `intracranial` (bool), [n, R, C] in the
    order of the manifest's slices, inferior to superior. With `compress` the pixels are JPEG 2000
    Lossless. The folder appears whole or not at all. Raises OutputFolderError when it exists
    and is not empty, or cannot be written.
    """
    folder = Path(folder)
    refuse_taken(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise _unwritable(folder, error) from error
    try:
        _fill(phantom, building, compress)
        building.chmod(0o755)
        building.replace(folder)
    except OSError as error:
        raise _unwritable(folder, error) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return folder


def refuse_taken(folder: Path) -> None:
    """Raise OutputFolderError when `folder` is a file or holds anything."""
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise OutputFolderError(
            f"{folder} exists and is not empty: choose another folder or remove it first."
        )


def _unwritable(folder: Path, error: OSError) -> OutputFolderError:
    return OutputFolderError(
        f"{folder} cannot be written ({error.strerror or error}): choose a folder you may write."
    )


def _fill(phantom: Phantom, folder: Path, compress: bool) -> None:
    identity = SeriesIdentity(phantom)
    for index in range(len(phantom.hu)):
        dataset = dataset_from_slice(phantom, identity, index)
        write_dataset(dataset, folder / identity.filename(index), compress)
    np.savez_compressed(
        folder / "masks.npz", lesion=phantom.lesion, intracranial=phantom.intracranial
    )
    text = json.dumps(manifest_from_phantom(phantom), indent=1) + "\n"
    (folder / "manifest.json").write_text(text, encoding="utf-8")


def manifest_from_phantom(phantom: Phantom) -> dict[str, Any]:
    """The truth about a phantom as plain JSON values: identity, geometry, labels per slice."""
    identity = SeriesIdentity(phantom)
    slices = []
    for index, lesion in enumerate(phantom.lesion):
        counts = np.bincount(lesion.ravel(), minlength=len(Lesion))
        labels = {"any": bool(counts[1:].any())}
        labels |= {subtype.name: bool(counts[subtype]) for subtype in SUBTYPES}
        slices.append(
            {
                "file": identity.filename(index),
                "SOPInstanceUID": identity.sop_instance_uid(index),
                "ImagePositionPatient": identity.position_mm(index),
                "labels": labels,
                "lesion_ml": round(float(counts[1:].sum()) * phantom.voxel_ml, 4),
            }
        )
    by_subtype = phantom.lesion_ml_by_subtype
    return {
        "manifest_version": MANIFEST_VERSION,
        "synthetic": True,
        "kind": phantom.kind,
        "seed": phantom.seed,
        "kernel": phantom.kernel,
        "StudyInstanceUID": identity.study_uid,
        "SeriesInstanceUID": identity.series_uid,
        "pixel_spacing_mm": phantom.pixel_spacing_mm,
        "slice_spacing_mm": phantom.slice_spacing_mm,
        "tilt_degrees": phantom.tilt_degrees,
        "lesion_ml": round(phantom.lesion_ml, 4),
        "lesion_ml_by_subtype": {s.name: round(by_subtype[s], 4) for s in SUBTYPES},
        "slices": slices,
    }
