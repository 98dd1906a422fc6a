"""Each entry of the pixel table acts on its own made file, and only that entry makes it so."""

from __future__ import annotations

import os
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
from ichclient.hounsfield import hu_from_header, hu_slices_from_series
from ichclient.intensities import PIXEL_RULES, PixelRule
from ichclient.rules import DEFAULT_BOOK, RuleBook
from ichclient.series import Series, chosen_series, series_from_scan

Make = Callable[..., Any]
Plane = NDArray[Any]
Tags = dict[str, Any]


def header_of(path: Path) -> SliceHeader:
    (header,) = headers_from_path(path).headers
    return header


def series_of(path: Path) -> Series:
    return chosen_series(series_from_scan(headers_from_path(path)))


def stored(values: Plane, **tags: Any) -> Tags:
    """Tags of a plane that holds these values: 16 bits, signed if the type is."""
    signed = int(values.dtype.kind == "i")
    return {"PixelData": values.tobytes(), "PixelRepresentation": signed, **tags}


def wrapped(hu: Plane, **tags: Any) -> Tags:
    """What the public RSNA collection holds of some scanners: HU modulo 4096, unsigned."""
    bits = {"BitsStored": 12, "HighBit": 11, "RescaleIntercept": 0}
    return stored((hu.astype(np.int32) % 4096).astype(np.uint16), **{**bits, **tags})


def with_metal(hu: Plane, value: int = 2500) -> Plane:
    """Too much of it to be told from air that wrapped."""
    metal = hu.copy()
    metal[12:20, 8:20] = value
    return metal


def with_few_above(hu: Plane) -> Plane:
    """Three pixels of 2,100 where 11 bits end at 2,047."""
    raw = (hu + 1024).astype(np.uint16)
    raw[16, 16:19] = 2100
    return raw


def with_overlay(hu: Plane) -> Plane:
    raw = (hu + 1024).astype(np.uint16)
    raw[4:20] |= 1 << 12
    return raw


def unextended(hu: Plane) -> Plane:
    """12-bit two's complement whose sign stops at bit 11."""
    return (hu.astype(np.int32) & 0x0FFF).astype(np.int16)


BITS_12 = {"BitsStored": 12, "HighBit": 11}
OVERLAY = {"OverlayBitsAllocated": 16, "OverlayBitPosition": 12}
LUT = pydicom.Dataset()
LUT.LUTDescriptor = [2, 0, 16]
LUT.ModalityLUTType = "HU"
LUT.LUTData = b"\0\0\1\0"
NO_RESCALE = {"RescaleSlope": None, "RescaleIntercept": None}

# code -> tags of a slice (from the made HU), and the HU expected of it (None: not compared)
CASES: dict[str, tuple[Callable[[Plane], Tags], Callable[[Plane], Plane] | None]] = {
    "not_monochrome": (lambda hu: {"PhotometricInterpretation": "PALETTE COLOR"}, None),
    "bad_rescale": (lambda hu: {"RescaleSlope": 0}, None),
    "modality_lut": (lambda hu: stored(hu, **NO_RESCALE, ModalityLUTSequence=[LUT]), None),
    "no_rescale": (lambda hu: {**NO_RESCALE, "PixelRepresentation": 0}, None),
    "assumed_rescale": (lambda hu: stored(hu, **NO_RESCALE), lambda hu: hu),
    "lone_rescale": (lambda hu: {"RescaleSlope": None}, lambda hu: hu),
    "rescale_type": (lambda hu: {"RescaleType": "US"}, lambda hu: hu),
    "overlay_bits": (lambda hu: stored(with_overlay(hu), **BITS_12, **OVERLAY), lambda hu: hu),
    "sign_not_extended": (
        lambda hu: stored(unextended(hu), **BITS_12, RescaleIntercept=0),
        lambda hu: hu,
    ),
    "wrong_bits_stored": (lambda hu: stored(with_few_above(hu), BitsStored=11, HighBit=10), None),
    "unknown_bits": (lambda hu: stored(with_overlay(hu), **BITS_12), None),
    "unsigned_wrap_fixed": (wrapped, lambda hu: hu),
    "unsigned_wrap": (lambda hu: wrapped(with_metal(hu)), None),
    "padding_in_tissue": (lambda hu: {"PixelPaddingValue": 1024 + 35}, lambda hu: hu),
    "lossy_source": (lambda hu: {"LossyImageCompression": "01"}, lambda hu: hu),
    "not_finite": (lambda hu: {"RescaleSlope": "1e38"}, None),
    "empty_slice": (lambda hu: stored(np.zeros_like(hu)), None),
    "metal_clipped": (
        lambda hu: {"RescaleSlope": 4, "RescaleIntercept": -1000,
                    **stored(((hu + 1000) * 2).astype(np.int16))},
        lambda hu: np.minimum((hu + 1000.0) * 8 - 1000, 3071),
    ),
}  # fmt: skip


def write(path: Path, make_slice: Make, tags: Tags) -> None:
    """Write a slice; overlay attributes go into their group."""
    overlay = {name: tags.pop(name) for name in list(tags) if name.startswith("Overlay")}
    dataset = make_slice(path, **tags)
    if overlay:
        dataset.add_new(0x60000100, "US", overlay["OverlayBitsAllocated"])
        dataset.add_new(0x60000102, "US", overlay["OverlayBitPosition"])
        dataset.save_as(path)


def outcome(
    header: SliceHeader, book: RuleBook = DEFAULT_BOOK
) -> tuple[set[str], NDArray[np.float32] | None]:
    """The codes that were told of a slice, and its HU where it was not refused."""
    try:
        one = hu_from_header(header, book=book)
    except RefusedInput as error:
        return {error.code}, None
    return {warning.code for warning in one.warnings}, one.hu


def test_every_entry_has_a_case() -> None:
    assert [rule.code for rule in PIXEL_RULES] == list(CASES)


@pytest.mark.parametrize("rule", PIXEL_RULES, ids=lambda rule: str(rule.code))
def test_each_rule_acts_and_nothing_else_does_its_work(
    tmp_path: Path,
    make_slice: Make,
    made_hu: NDArray[np.int16],
    rule: PixelRule,
) -> None:
    tags, expected = CASES[rule.code]
    write(tmp_path / "a.dcm", make_slice, tags(made_hu))
    header = header_of(tmp_path)
    codes, hu = outcome(header)
    assert codes == {rule.code}
    assert (hu is None) == (rule.action == "refused")
    if expected is not None:
        np.testing.assert_array_equal(hu, expected(made_hu).astype(np.float32))
    assert rule.code not in outcome(header, DEFAULT_BOOK.without(rule.code))[0]


def test_a_plain_slice_breaks_no_rule(tmp_path: Path, make_slice: Make) -> None:
    make_slice(tmp_path / "a.dcm")
    assert outcome(header_of(tmp_path))[0] == set()


def test_corners_outside_the_field_of_a_wrapped_slice_become_air(
    tmp_path: Path, make_slice: Make, made_hu: NDArray[np.int16]
) -> None:
    hu = made_hu.copy()
    hu[:3], hu[-3:] = -2000, -2000
    write(tmp_path / "a.dcm", make_slice, wrapped(hu))
    codes, got = outcome(header_of(tmp_path))
    assert codes == {"unsigned_wrap_fixed"}
    assert got is not None
    np.testing.assert_array_equal(got, np.where(hu == -2000, -1024, made_hu))


def test_bone_and_metal_of_an_unsigned_slice_are_not_unwrapped(
    tmp_path: Path, make_slice: Make, made_hu: NDArray[np.int16]
) -> None:
    """An ordinary unsigned 12-bit slice with an intercept of -1024, as Philips writes it."""
    raw = (with_metal(made_hu) + 1024).astype(np.uint16)
    write(tmp_path / "a.dcm", make_slice, stored(raw, **BITS_12))
    codes, hu = outcome(header_of(tmp_path))
    assert codes == set()
    assert hu is not None
    assert hu.max() == 2500


def test_floats_are_hounsfield_units_as_they_are(
    tmp_path: Path, make_slice: Make, made_hu: NDArray[np.int16]
) -> None:
    dataset = make_slice(tmp_path / "a.dcm", RescaleIntercept=0)
    del dataset.PixelData, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation
    dataset.BitsAllocated = 32
    dataset.FloatPixelData = (made_hu + 0.25).astype(np.float32).tobytes()
    dataset.save_as(tmp_path / "a.dcm")
    codes, hu = outcome(header_of(tmp_path))
    assert codes == set()
    np.testing.assert_array_equal(hu, made_hu + np.float32(0.25))


def test_a_float_that_is_no_number_is_refused(
    tmp_path: Path, make_slice: Make, made_hu: NDArray[np.int16]
) -> None:
    values = made_hu.astype(np.float32)
    values[5, 5] = np.nan
    dataset = make_slice(tmp_path / "a.dcm", RescaleIntercept=0)
    del dataset.PixelData
    dataset.BitsAllocated = 32
    dataset.FloatPixelData = values.tobytes()
    dataset.save_as(tmp_path / "a.dcm")
    assert outcome(header_of(tmp_path))[0] == {"not_finite"}


@pytest.mark.parametrize(
    ("intercept", "absent"), [(0, "air"), (-2048, "bone"), (-1250, "soft tissue")]
)
def test_a_series_of_implausible_values_is_refused_in_the_end(
    tmp_path: Path, make_series: Make, intercept: int, absent: str
) -> None:
    make_series(tmp_path, RescaleIntercept=intercept)
    with pytest.raises(RefusedInput, match=rf"no slice holds {absent}.*implausible_hu"):
        list(hu_slices_from_series(series_of(tmp_path)))


def test_a_file_that_changed_since_its_header_was_read_is_refused(
    tmp_path: Path, make_slice: Make
) -> None:
    make_slice(tmp_path / "a.dcm")
    header = header_of(tmp_path)
    os.utime(header.path, ns=(1, 1))
    assert outcome(header)[0] == {"changed_file"}
    header = header_of(tmp_path)
    header.path.write_bytes(header.path.read_bytes() + b"\0\0")
    os.utime(header.path, ns=(1, 1))
    assert outcome(header)[0] == {"changed_file"}


@pytest.mark.parametrize(
    ("tags", "code"),
    [
        ({"Rows": 65535, "Columns": 65535}, "too_large"),
        ({"Rows": 4096, "Columns": 4096}, "truncated_pixels"),
    ],
)
def test_a_header_that_claims_more_than_there_is_makes_no_room_for_it(
    tmp_path: Path, make_slice: Make, tags: Tags, code: str
) -> None:
    make_slice(tmp_path / "a.dcm", **tags)
    assert outcome(header_of(tmp_path))[0] == {code}


def test_a_codestream_that_claims_more_than_its_header_is_not_decoded(
    tmp_path: Path, make_slice: Make
) -> None:
    dataset = make_slice(tmp_path / "a.dcm")
    dataset.compress(pydicom.uid.JPEG2000Lossless)
    dataset.save_as(tmp_path / "a.dcm")
    whole = (tmp_path / "a.dcm").read_bytes()
    place = whole.index(b"\xff\x4f\xff\x51") + 8
    huge = (60000).to_bytes(4, "big") * 2
    (tmp_path / "a.dcm").write_bytes(whole[:place] + huge + whole[place + 8 :])
    with pytest.raises(RefusedInput, match=r"claim 60000 x 60000.*unexpected_shape"):
        hu_from_header(header_of(tmp_path))


def test_a_deflated_file_is_weighed_before_it_is_unpacked(
    tmp_path: Path, make_series: Make, make_slice: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_series(tmp_path / "a")
    deflated = pydicom.uid.DeflatedExplicitVRLittleEndian
    make_slice(tmp_path / "b.dcm", TransferSyntaxUID=deflated, ImageComments="x" * 10_000)
    assert (tmp_path / "b.dcm").stat().st_size < 2_000
    monkeypatch.setattr("ichclient.dicom.MAX_INFLATED_BYTES", 9_000)
    skipped = headers_from_path(tmp_path).skipped
    assert [(one.path, one.code) for one in skipped] == [("b.dcm", "too_large")]
