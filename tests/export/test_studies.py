"""A file of slices: studies to compare and calibrate on, or one sentence that says why not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ichcore import EnsembleSpec
from ichexport.errors import IchExportError
from ichexport.studies import studies_from_file

HU = NDArray[np.float16]


@pytest.fixture
def written(tmp_path: Path, released_spec: EnsembleSpec, make_hu: Any) -> Any:
    """Writes five slices of two studies, with anything replaced or left out."""

    def write(**changes: Any) -> Path:
        arrays: dict[str, Any] = {
            "HU": make_hu(released_spec.grid, slices=5, seed=2),
            "STUDY": np.array([0, 0, 0, 1, 1]),
            "POSITION_MM": np.array([0.0, 5.0, 10.0, 0.0, 5.0]),
            "TRUTH": np.array([True, False]),
            **changes,
        }
        path = tmp_path / "slices.npz"
        np.savez(path, **{name: values for name, values in arrays.items() if values is not None})
        return path

    return write


def test_studies_come_in_parts(written: Any, released_spec: EnsembleSpec) -> None:
    studies = studies_from_file(written(), released_spec)
    assert list(studies.parts()) == [slice(0, 3), slice(3, 5)]
    assert studies.truth is not None
    assert studies.truth.tolist() == [True, False]


def test_golden_slices_are_a_study_each(bundle: Path, released_spec: EnsembleSpec) -> None:
    studies = studies_from_file(bundle / "golden.npz", released_spec)
    assert len(list(studies.parts())) == len(studies.hu)
    assert studies.truth is None


def half(hu: HU) -> HU:
    return hu + np.float16(0.5)


def windowed(hu: HU) -> HU:
    return np.clip(hu / 80, 0, 1).astype(np.float16)


def too_bright(hu: HU) -> HU:
    return np.where(hu > 600, np.float16(3000), hu)


def with_nan(hu: HU) -> HU:
    return np.where(hu > 600, np.float16(np.nan), hu)


def brain_alone(hu: HU) -> HU:
    return np.clip(hu, 0, 80)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (half, "whole Hounsfield units"),
        (windowed, "whole Hounsfield units"),
        (too_bright, "spans -1"),
        (with_nan, "spans nan to nan"),
        (brain_alone, "no head"),
        (lambda hu: hu[:0], "no slice"),
        (lambda hu: hu[..., :128], r"grid wants float16 \[n, 1, 256, 256\]"),
        (lambda hu: hu.astype(np.float32), "is float32"),
    ],
)
def test_slices_that_are_no_head_on_the_grid_are_refused(
    written: Any, released_spec: EnsembleSpec, make_hu: Any, spoil: Any, said: str
) -> None:
    hu = spoil(make_hu(released_spec.grid, slices=5, seed=2))
    with pytest.raises(IchExportError, match=said):
        studies_from_file(written(HU=hu), released_spec)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"STUDY": np.array([0, 0, 2, 2, 2])}, "without gaps"),
        ({"STUDY": np.array([1, 1, 1, 1, 1])}, "count from 0"),
        ({"STUDY": np.array([0, 1, 0, 1, 1])}, "falls"),
        ({"STUDY": np.array([0, 1])}, "do not number its 5 slices"),
        ({"TRUTH": np.array([True])}, "does not name its 2 studies"),
        ({"HU": None}, "holds no slices"),
    ],
)
def test_studies_that_do_not_add_up_are_refused(
    written: Any, released_spec: EnsembleSpec, changes: Any, said: str
) -> None:
    with pytest.raises(IchExportError, match=said):
        studies_from_file(written(**changes), released_spec)


@pytest.mark.parametrize("content", [b"", b"no archive", None])
def test_a_file_that_is_no_archive_is_refused(
    tmp_path: Path, released_spec: EnsembleSpec, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / "slices.npz").write_bytes(content)
    with pytest.raises(IchExportError, match="holds no slices"):
        studies_from_file(tmp_path / "slices.npz", released_spec)
