"""Small made heads, and the layouts that labelled head CT comes in."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import config
from pydicom.dataset import Dataset

from ichtrain.phantom import Lesion, Phantom, write_study
from ichtrain.phantom.dicom import SeriesIdentity, dataset_from_slice

SIZE, SLICES, PIXEL_MM, SLICE_MM = 64, 12, 3.5, 8.0


def made_phantom(
    kind: str = "sdh", seed: int = 0, slices: int = SLICES, size: int = SIZE, tilt: float = 0.0
) -> Phantom:
    """A ball of brain in a shell of bone; blood front right in two slices, unless normal."""
    rows, columns = np.mgrid[:size, :size]
    radius = np.hypot(rows - size / 2 + 2, columns - size / 2 - 1) / size
    plane = np.where(radius < 0.36, 35, np.where(radius < 0.42, 1000, -1000)).astype(np.int16)
    hu = np.repeat(plane[None], slices, axis=0)
    hu += np.random.default_rng(seed).integers(-3, 4, hu.shape, dtype=np.int16)
    lesion = np.zeros(hu.shape, dtype=np.uint8)
    if kind != "normal":
        lesion[5:7, 18:26, 16:22] = Lesion[kind.upper()]
    hu[lesion > 0] = 70
    inside = np.repeat((radius < 0.36)[None], slices, axis=0)
    return Phantom(hu, lesion, inside, PIXEL_MM, SLICE_MM, tilt, kind, seed)


@contextmanager
def unvalidated() -> Iterator[None]:
    """Public data sets hold values that pydicom warns of."""
    with warnings.catch_warnings(), config.disable_value_validation():
        warnings.simplefilter("ignore")
        yield


def datasets_of(phantom: Phantom, **tags: Any) -> list[Dataset]:
    """Its slices as data sets; a tag given as None is taken out, a callable gets the index."""
    identity = SeriesIdentity(phantom)
    datasets = [dataset_from_slice(phantom, identity, index) for index in range(len(phantom.hu))]
    with unvalidated():
        for index, dataset in enumerate(datasets):
            for keyword, value in tags.items():
                if value is None:
                    delattr(dataset, keyword)
                else:
                    setattr(dataset, keyword, value(index) if callable(value) else value)
    return datasets


def write_datasets(datasets: Iterable[Dataset], names: Callable[[int, Dataset], Path]) -> None:
    with unvalidated():
        for index, dataset in enumerate(datasets):
            path = names(index, dataset)
            path.parent.mkdir(parents=True, exist_ok=True)
            dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
            dataset.save_as(path, enforce_file_format=True)


def nifti_of(phantom: Phantom, values: NDArray[Any], path: Path, turned: str = "") -> Path:
    """Values [n, R, C] of a phantom as NIfTI; `turned` names what is done to its axes."""
    import nibabel

    identity = SeriesIdentity(phantom)
    orientation = np.asarray(identity.orientation())
    affine = np.eye(4)
    affine[:3, 0] = orientation[:3] * phantom.pixel_spacing_mm
    affine[:3, 1] = orientation[3:] * phantom.pixel_spacing_mm
    affine[:3, 2] = np.subtract(identity.position_mm(1), identity.position_mm(0))
    affine[:3, 3] = identity.position_mm(0)
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    array = np.asarray(values).transpose(2, 1, 0)
    for step in filter(None, turned.split(",")):
        if step == "swapped":
            array, affine = array.transpose(1, 2, 0), affine[:, [1, 2, 0, 3]]
            continue
        axis = int(step)
        affine = affine.copy()
        affine[:3, 3] += affine[:3, axis] * (array.shape[axis] - 1)
        affine[:3, axis] *= -1
        array = np.flip(array, axis)
    nibabel.save(nibabel.Nifti1Image(array.astype(np.uint8), affine), path)
    return path


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four phantom folders as `ichtrain phantom` writes them; read only."""
    source = tmp_path_factory.mktemp("phantoms")
    for kind, seed in (("sdh", 0), ("normal", 0), ("iph", 1), ("normal", 1)):
        write_study(made_phantom(kind, seed), source / f"{kind}-{seed}")
    return source


@pytest.fixture(scope="session")
def make() -> type[Make]:
    """The makers above, for tests that need their own data."""
    return Make


class Make:
    """What this file offers to tests."""

    phantom = staticmethod(made_phantom)
    datasets = staticmethod(datasets_of)
    files = staticmethod(write_datasets)
    nifti = staticmethod(nifti_of)
    study = staticmethod(write_study)
