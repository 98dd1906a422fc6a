"""Pixels -> Hounsfield units: rescale, padding, turns, order, and what is refused."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray

from ichclient.dicom import headers_from_path
from ichclient.errors import RefusedInput
from ichclient.headers import SliceHeader
from ichclient.hounsfield import codecs, hu_from_header, hu_slices_from_series
from ichclient.series import Series, chosen_series, series_from_scan

Make = Callable[..., Path]


def header_of(path: Path) -> SliceHeader:
    (header,) = headers_from_path(path).headers
    return header


def series_of(path: Path) -> Series:
    return chosen_series(series_from_scan(headers_from_path(path)))


@pytest.mark.parametrize(
    "tags",
    [
        {},
        {"PixelRepresentation": 0},
        {"PhotometricInterpretation": "MONOCHROME1"},
        {"TransferSyntaxUID": pydicom.uid.ImplicitVRLittleEndian},
        {"TransferSyntaxUID": pydicom.uid.DeflatedExplicitVRLittleEndian},
    ],
)
def test_stored_values_become_hounsfield_units(
    tmp_path: Path, make_slice: Make, made_hu: NDArray[np.int16], tags: dict[str, Any]
) -> None:
    make_slice(tmp_path / "a.dcm", **tags)
    one = hu_from_header(header_of(tmp_path))
    assert one.hu.dtype == np.float32
    assert (one.hu == made_hu).all()
    assert (one.air, one.bone, one.warnings) == (True, True, ())


def test_run_length_coded_pixels_are_the_same(
    tmp_path: Path, make_slice: Make, made_hu: NDArray[np.int16]
) -> None:
    dataset: Any = make_slice(tmp_path / "a.dcm")
    dataset.compress(pydicom.uid.RLELossless)
    dataset.save_as(tmp_path / "a.dcm")
    assert (hu_from_header(header_of(tmp_path)).hu == made_hu).all()


def test_each_slice_is_rescaled_by_its_own_header(
    tmp_path: Path, make_slice: Make, made_hu: NDArray[np.int16]
) -> None:
    pixels = ((made_hu + 1000) * 4).astype(np.int16).tobytes()
    make_slice(tmp_path / "a.dcm", PixelData=pixels, RescaleSlope=0.25, RescaleIntercept=-1000)
    assert (hu_from_header(header_of(tmp_path)).hu == made_hu).all()


def test_a_turned_slice_is_made_canonical(
    tmp_path: Path, make_slice: Make, made_hu: NDArray[np.int16]
) -> None:
    """Rows run to the right and columns to the front, with two different spacings."""
    stored = np.ascontiguousarray(made_hu[::-1, ::-1].T)
    orientation = [0, -1, 0, -1, 0, 0]
    make_slice(
        tmp_path / "a.dcm", stored, ImageOrientationPatient=orientation, PixelSpacing=[0.5, 0.7]
    )
    one = hu_from_header(header_of(tmp_path))
    assert (one.hu == made_hu).all()
    assert (one.row_spacing_mm, one.column_spacing_mm) == (0.7, 0.5)


@pytest.mark.parametrize(
    ("absent", "intercept_hu"), [("RescaleSlope", -1024), ("RescaleIntercept", 0)]
)
def test_a_lone_rescale_value_is_applied_with_a_warning(
    tmp_path: Path,
    make_slice: Make,
    made_hu: NDArray[np.int16],
    absent: str,
    intercept_hu: int,
) -> None:
    make_slice(tmp_path / "a.dcm", **{absent: None})
    one = hu_from_header(header_of(tmp_path))
    assert (one.hu == made_hu + 1024 + intercept_hu).all()
    assert [(w.code, absent in w.sentence) for w in one.warnings] == [("lone_rescale", True)]


@pytest.mark.parametrize(
    ("padding", "signed", "stored"), [(-2000, 1, -2000), (63536, 1, -2000), (63536, 0, 63536)]
)
def test_padding_becomes_air_whichever_way_its_sign_is_written(
    tmp_path: Path,
    make_slice: Make,
    made_hu: NDArray[np.int16],
    padding: int,
    signed: int,
    stored: int,
) -> None:
    pixels = (made_hu + 1024).astype(np.int32)
    pixels[:4] = stored
    make_slice(
        tmp_path / "a.dcm",
        PixelData=(pixels & 0xFFFF).astype(np.uint16).tobytes(),
        PixelRepresentation=signed,
        PixelPaddingValue=None,
    )
    dataset = pydicom.dcmread(tmp_path / "a.dcm")
    dataset.add_new("PixelPaddingValue", "US" if padding > 0 else "SS", padding)
    dataset.save_as(tmp_path / "a.dcm")
    one = hu_from_header(header_of(tmp_path))
    assert (one.hu[:4] == -1024).all()
    assert (one.hu[4:] == made_hu[4:]).all()


def test_padding_that_would_erase_tissue_is_ignored_with_a_warning(
    tmp_path: Path, make_slice: Make, made_hu: NDArray[np.int16]
) -> None:
    make_slice(tmp_path / "a.dcm", PixelPaddingValue=1024 + 35)
    one = hu_from_header(header_of(tmp_path))
    assert (one.hu == made_hu).all()
    assert [warning.code for warning in one.warnings] == ["padding_in_tissue"]


def test_padding_is_not_taken_for_measured_air(tmp_path: Path, make_series: Make) -> None:
    pixels = np.full((32, 32), 1024 + 300, np.int16)
    pixels[:, :4] = -2000
    make_series(tmp_path, PixelData=pixels.tobytes(), PixelPaddingValue=-2000)
    with pytest.raises(RefusedInput, match=r"no slice holds air.*implausible_hu"):
        list(hu_slices_from_series(series_of(tmp_path)))


def test_a_series_without_its_intercept_is_refused_in_the_end(
    tmp_path: Path, make_series: Make
) -> None:
    make_series(tmp_path, RescaleIntercept=None)
    with pytest.raises(RefusedInput, match="implausible_hu"):
        list(hu_slices_from_series(series_of(tmp_path)))


@pytest.mark.parametrize(
    ("tags", "code"),
    [
        ({"RescaleSlope": 0}, "bad_rescale"),
        ({"RescaleSlope": None, "RescaleIntercept": None, "PixelRepresentation": 0}, "no_rescale"),
        ({"RescaleSlope": "1e38"}, "not_finite"),
        ({"PixelSpacing": None}, "no_position"),
    ],
)
def test_values_that_cannot_be_trusted_are_refused(
    tmp_path: Path, make_slice: Make, tags: dict[str, Any], code: str
) -> None:
    make_slice(tmp_path / "a.dcm", **tags)
    with pytest.raises(RefusedInput, match=rf"a\.dcm: .*\[{code}\]"):
        hu_from_header(header_of(tmp_path))


def test_a_file_cut_in_its_pixels_is_named(tmp_path: Path, make_series: Make) -> None:
    make_series(tmp_path)
    cut = tmp_path / "005.dcm"
    cut.write_bytes(cut.read_bytes()[:-500])
    with pytest.raises(RefusedInput, match=r"005\.dcm.*1548 of 2048.*truncated_pixels") as caught:
        list(hu_slices_from_series(series_of(tmp_path)))
    assert caught.value.exit_code == 4


def test_a_compressed_file_cut_in_its_pixels_is_refused(tmp_path: Path, make_slice: Make) -> None:
    dataset: Any = make_slice(tmp_path / "a.dcm")
    dataset.compress(pydicom.uid.RLELossless)
    dataset.save_as(tmp_path / "a.dcm")
    whole = (tmp_path / "a.dcm").read_bytes()
    (tmp_path / "a.dcm").write_bytes(whole[:-150])
    with pytest.raises(RefusedInput, match=r"a\.dcm.*(truncated|undecodable)_pixels"):
        hu_from_header(header_of(tmp_path))


def test_bytes_after_the_pixels_are_cut_off_with_a_warning(
    tmp_path: Path, make_slice: Make, made_hu: NDArray[np.int16]
) -> None:
    make_slice(tmp_path / "a.dcm", PixelData=(made_hu + 1024).tobytes() + b"\0" * 512)
    one = hu_from_header(header_of(tmp_path))
    assert (one.hu == made_hu).all()
    assert [warning.code for warning in one.warnings] == ["excess_pixels"]


def test_an_unsupported_transfer_syntax_is_named(tmp_path: Path, make_slice: Make) -> None:
    make_slice(tmp_path / "a.dcm")
    whole = (tmp_path / "a.dcm").read_bytes()
    unknown = b"1.2.840.10008.9.9.9"  # as long as the one it replaces
    (tmp_path / "a.dcm").write_bytes(whole.replace(b"1.2.840.10008.1.2.1", unknown, 1))
    with pytest.raises(RefusedInput, match=r"1\.2\.840\.10008\.9\.9\.9.*cannot be decoded here"):
        hu_from_header(header_of(tmp_path))


def test_codecs_name_what_to_install() -> None:
    known = {codec.transfer_syntax_uid: codec for codec in codecs()}
    assert known[pydicom.uid.ExplicitVRLittleEndian].available
    assert "pip install" in known[pydicom.uid.JPEG2000Lossless].extra
    assert all(codec.available or codec.extra for codec in known.values())


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_slices_come_in_order_whatever_the_workers(head_ct_ge: Path, workers: int) -> None:
    series = series_of(head_ct_ge)
    got = [one.header.SOPInstanceUID for one in hu_slices_from_series(series, workers)]
    assert got == [header.SOPInstanceUID for header in series.slices]


def test_stopping_early_leaves_no_thread(tmp_path: Path, make_series: Make) -> None:
    slices = hu_slices_from_series(series_of(make_series(tmp_path)))
    next(slices)
    slices.close()  # type: ignore[attr-defined]
    assert not [t for t in threading.enumerate() if t.name.startswith("ichclient-decode")]


def test_real_padding_is_air_and_real_values_stay(head_ct_ge: Path) -> None:
    series = series_of(head_ct_ge)
    for one in hu_slices_from_series(series):
        raw = pydicom.dcmread(one.header.path).pixel_array
        inside = raw != -1500
        assert 0.1 < 1 - inside.mean() < 0.5
        assert (one.hu[~inside] == -1024).all()
        assert (one.hu[inside] == np.maximum(raw[inside], -1024)).all()
