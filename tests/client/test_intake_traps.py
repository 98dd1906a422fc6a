"""Each trap of `docs/intake.md` has a made study that falls into it, and one rule that sees it.

A trap must give its rule's code, and must no longer give it where that one rule is taken out of
the table: so no rule is idle, and no other one speaks in its name.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from ichclient.dicom import headers_from_path
from ichclient.errors import NothingFound, RefusedInput
from ichclient.hounsfield import hu_slices_from_series
from ichclient.intensities import PIXEL_RULES
from ichclient.rules import DEFAULT_BOOK, RULES, RuleBook
from ichclient.series import chosen_series, series_from_scan

ENHANCED = "1.2.840.10008.5.1.4.1.1.2.1"
EVERY_8_MM = [8.0 * index for index in range(11)]
COPLANAR = [-16.0, -16.0, 40.0]
EXPLICIT, RLE = b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.5\0"


@dataclass(frozen=True)
class Make:
    """The builders of the shared fixtures, and what traps do with them."""

    write_series: Callable[..., Path]
    slice: Callable[..., Any]
    hu: Any

    def series(self, folder: Path, heights: Any = EVERY_8_MM, **tags: Any) -> Path:
        """The shortest series that is accepted, unless told otherwise."""
        return self.write_series(folder, heights, **tags)

    def one(self, folder: Path, **tags: Any) -> Path:
        """A series whose slice 005.dcm has other tags."""
        self.series(folder)
        self.slice(folder / "005.dcm", **{"ImagePositionPatient": COPLANAR, **tags})
        return folder / "005.dcm"

    def values(self, folder: Path, values: Any, **tags: Any) -> None:
        """A series with these stored values in one slice, of one layout in all of them."""
        own = {**tags, "PixelData": np.asarray(values).astype(np.uint16).tobytes()}
        self.series(folder, **own)

    def edited(self, folder: Path, edit: Callable[[Any], None], **tags: Any) -> None:
        """A series whose every dataset was changed by hand and saved as it then was."""
        self.series(folder, **tags)
        for path in folder.iterdir():
            dataset: Any = pydicom.dcmread(path)
            edit(dataset)
            dataset.save_as(path, enforce_file_format=False)


Build = Callable[[Path, Make], object]


def tagged(**tags: Any) -> Build:
    return lambda folder, make: make.series(folder, **tags)


def one_tagged(**tags: Any) -> Build:
    return lambda folder, make: make.one(folder, **tags)


def at(*heights: float) -> Build:
    return lambda folder, make: make.series(folder, heights)


def beside(name: str, content: bytes) -> Build:
    def build(folder: Path, make: Make) -> None:
        make.series(folder)
        (folder / name).write_bytes(content)

    return build


def two(**tags: Any) -> Build:
    def build(folder: Path, make: Make) -> None:
        make.series(folder / "a")
        make.series(folder / "b", **tags)

    return build


def changed(edit: Callable[[bytes], bytes]) -> Build:
    def build(folder: Path, make: Make) -> None:
        path = make.one(folder)
        path.write_bytes(edit(path.read_bytes()))

    return build


def relabelled_rle(folder: Path, make: Make) -> None:
    path = make.one(folder)
    dataset: Any = pydicom.dcmread(path)
    dataset.compress(pydicom.uid.RLELossless)
    dataset.save_as(path)
    path.write_bytes(path.read_bytes().replace(RLE, EXPLICIT, 1))


def other_codestream(dataset: Any) -> None:
    dataset.compress(pydicom.uid.JPEGLSLossless)
    dataset.Rows = 30


def no_class(dataset: Any) -> None:
    del dataset.SOPClassUID
    del dataset.file_meta.MediaStorageSOPClassUID


def without_preamble(folder: Path, make: Make) -> None:
    make.series(folder)
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes()[132:])


def overlay(dataset: Any) -> None:
    values = np.frombuffer(dataset.PixelData, np.uint16).copy()
    values[: values.size // 4] |= 1 << 12
    dataset.PixelData = values.tobytes()
    dataset.add_new(0x60000102, "US", 13)


def copied(folder: Path, make: Make) -> None:
    path = make.one(folder)
    (folder / "copy.dcm").write_bytes(path.read_bytes())


def same_place(folder: Path, make: Make) -> None:
    make.series(folder)
    make.slice(folder / "x.dcm", ImagePositionPatient=COPLANAR, PixelData=b"\1" * 2048)


def linked_to_nothing(folder: Path, make: Make) -> None:
    make.series(folder)
    (folder / "link").symlink_to(folder / "nowhere")


def with_metal(folder: Path, make: Make) -> None:
    stored = make.hu + 1024
    stored[16, 16] = 9000
    make.values(folder, stored)


def few_bits(folder: Path, make: Make) -> None:
    stored = make.hu + 1024
    stored[16, 16] = 4000
    make.values(folder, stored, BitsStored=12, HighBit=11)


def wrapped(folder: Path, make: Make) -> None:
    layout = {"BitsStored": 12, "HighBit": 11, "PixelRepresentation": 0, "RescaleIntercept": 0}
    make.values(folder, make.hu.astype(int) % 4096, **layout)


def may_be_wrapped(folder: Path, make: Make) -> None:
    layout = {"BitsStored": 12, "HighBit": 11, "PixelRepresentation": 0, "RescaleIntercept": 0}
    stored = np.maximum(make.hu, 0)
    stored[16, 16] = 3500
    make.values(folder, stored, **layout)


def touched(folder: Path) -> None:
    os.utime(folder / "005.dcm", ns=(1, 1))


SCATTERED = [5.0 * index for index in range(21) if index not in (5, 9, 13)]
LUT = pydicom.Dataset.from_json({"00283002": {"vr": "US", "Value": [2, 0, 16]}})
NO_RESCALE = {"RescaleSlope": None, "RescaleIntercept": None}
REPORT = {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.11", "Modality": "SR", "Rows": None,
          "Columns": None, "PixelData": None}  # fmt: skip

TRAPS: dict[str, Build] = {
    # files
    "unreadable": linked_to_nothing,
    "empty_file": beside("empty.dcm", b""),
    "not_dicom": beside("Thumbs.db", b"no image" * 99),
    "archive": beside("other.zip", b"PK\x03\x04" + b"packed" * 99),
    "truncated_header": changed(lambda whole: whole[:700]),
    "dicomdir": one_tagged(SOPClassUID="1.2.840.10008.1.3.10"),
    "frames_disagree": one_tagged(SOPClassUID=ENHANCED, NumberOfFrames=3),
    "too_large": tagged(Rows=5000, Columns=5000),
    "not_image": one_tagged(**REPORT),
    # stacks that are refused
    "not_ct_image": tagged(SOPClassUID="1.2.840.10008.5.1.4.1.1.7"),
    "colour": tagged(SamplesPerPixel=3, PhotometricInterpretation="RGB"),
    "multi_frame": tagged(NumberOfFrames=4),
    "functional_map": tagged(ImageType=["DERIVED", "PRIMARY", "PERFUSION", "RCBF"]),
    "localizer": tagged(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]),
    "no_position": tagged(ImagePositionPatient=None),
    "bad_orientation": tagged(ImageOrientationPatient=[1, 0, 0, 0.3, 1, 0]),
    "not_axial": tagged(ImageOrientationPatient=[0, 1, 0, 0, 0, -1]),
    "derived": tagged(ImageType=["DERIVED", "SECONDARY", "MPR"]),
    "material_map": tagged(SeriesDescription="HEAD VNC"),
    "contrast": tagged(SeriesDescription="CTA HEAD"),
    "not_head": tagged(BodyPartExamined=None, SeriesDescription="", StudyDescription="CT CHEST"),
    "mixed_patients": two(PatientID="OTHER", ImagePositionPatient=COPLANAR),
    "ambiguous_duplicates": same_place,
    "insufficient_coverage": at(*EVERY_8_MM[:9]),
    "gap": at(*EVERY_8_MM[:6], *(z + 10 for z in EVERY_8_MM[6:])),
    "many_missing": at(*SCATTERED),
    # stacks that are warned of
    "duplicates_dropped": copied,
    "split_series": two(ConvolutionKernel="BONE"),
    "missing_slices": at(*(5.0 * index for index in range(18) if index != 7)),
    "variable_spacing": at(*EVERY_8_MM, 85.0, 90.0, 95.0),
    "sharp_kernel": tagged(ConvolutionKernel="BONEPLUS"),
    "monoenergetic": tagged(SeriesDescription="HEAD MONO 70 KEV"),
    "derived_images": tagged(ImageType=["DERIVED", "PRIMARY", "AXIAL"]),
    "inferred_sop_class": lambda folder, make: make.edited(folder, no_class),
    "forced_read": without_preamble,
    "inferred_spacing": tagged(PixelSpacing=None, ReconstructionDiameter=192),
    "orientation_normalised": tagged(ImageOrientationPatient=[1, 0, 0, 0.003, 1, 0]),
    "no_frame_of_reference": tagged(FrameOfReferenceUID=None),
    "small_field_of_view": tagged(PixelSpacing=[5.0, 5.0]),
    "thick_slices": tagged(SliceThickness=12),
    "outside_intended_use": tagged(PatientAge="007Y"),
    "phantom": tagged(PatientName="CATPHAN^600"),
    "no_patient_id": tagged(PatientID=None),
    # studies
    "mixed_studies": two(StudyInstanceUID="1.9", SeriesInstanceUID="1.9.1"),
    "patient_mismatch": two(SeriesInstanceUID="1.2.3.9", PatientName="OTHER^NAME"),
    # slices
    "changed_file": tagged(),
    "unsupported_transfer_syntax": changed(
        lambda whole: whole.replace(EXPLICIT, b"1.2.840.10008.9.9.9\0", 1)
    ),
    "truncated_pixels": changed(lambda whole: whole[:-500]),
    "undecodable_pixels": relabelled_rle,
    "unexpected_shape": lambda folder, make: make.edited(folder, other_codestream),
    "implausible_hu": tagged(RescaleIntercept=None),
    "excess_pixels": one_tagged(PixelData=b"\0" * 2560),
    "wrong_transfer_syntax": changed(lambda whole: whole.replace(EXPLICIT, RLE, 1)),
    "not_monochrome": tagged(PhotometricInterpretation="PALETTE COLOR"),
    "bad_rescale": one_tagged(RescaleSlope=0),
    "no_rescale": tagged(**NO_RESCALE, PixelRepresentation=0),
    "modality_lut": tagged(**NO_RESCALE, ModalityLUTSequence=[LUT]),
    "assumed_rescale": lambda folder, make: make.values(folder, make.hu, **NO_RESCALE),
    "lone_rescale": tagged(RescaleSlope=None),
    "rescale_type": one_tagged(RescaleType="US"),
    "overlay_bits": lambda folder, make: make.edited(
        folder, overlay, BitsStored=12, HighBit=11, PixelRepresentation=0
    ),
    "sign_not_extended": lambda folder, make: make.values(
        folder, make.hu.astype(int) & 0xFFF, BitsStored=12, HighBit=11, RescaleIntercept=0
    ),
    "wrong_bits_stored": few_bits,
    "unknown_bits": tagged(BitsStored=10, HighBit=9),
    "unsigned_wrap_fixed": wrapped,
    "unsigned_wrap": may_be_wrapped,
    "padding_in_tissue": one_tagged(PixelPaddingValue=1024 + 35),
    "lossy_source": tagged(LossyImageCompression="01"),
    "not_finite": one_tagged(RescaleSlope="1e38"),
    "empty_slice": one_tagged(PixelData=b"\1" * 2048),
    "metal_clipped": with_metal,
}
AFTER_HEADERS: dict[str, Callable[[Path], None]] = {"changed_file": touched}


def codes_given(
    folder: Path, book: RuleBook, then: Callable[[Path], None] = lambda _: None
) -> Iterator[str]:
    """Every code that is told of a study from its files to its pixels."""
    try:
        scan = headers_from_path(folder, book)
        yield from (verdict.code for verdict in scan.skipped)
        candidates = series_from_scan(scan, book)
        yield from (reason.code for item in candidates for reason in item.reasons)
        series = chosen_series(candidates, book=book)
        yield from (warning.code for warning in series.warnings)
        then(folder)
        for one in hu_slices_from_series(series, book=book):
            yield from (warning.code for warning in one.warnings)
    except RefusedInput as refusal:
        yield refusal.code
    except NothingFound:
        return


@pytest.mark.parametrize("code", TRAPS)
def test_a_trap_gives_its_code_by_its_rule_alone(
    tmp_path: Path, make_series: Any, make_slice: Any, made_hu: Any, code: str
) -> None:
    TRAPS[code](tmp_path, Make(make_series, make_slice, made_hu))
    then = AFTER_HEADERS.get(code, lambda _: None)
    given = set[str]()
    with contextlib.suppress(Exception):  # what no rule keeps out may break whatever comes after
        for told in codes_given(tmp_path, DEFAULT_BOOK.without(code), then):
            given.add(told)
    assert code not in given
    if then is touched:
        touched_back = tmp_path / "005.dcm"
        os.utime(touched_back, ns=(2, 2))
    assert code in set(codes_given(tmp_path, DEFAULT_BOOK, then))


def test_every_rule_has_its_trap_and_every_trap_its_rule() -> None:
    assert sorted(TRAPS) == sorted(rule.code for rule in RULES)


def test_an_untouched_study_falls_into_no_trap(tmp_path: Path, make_series: Any) -> None:
    assert list(codes_given(make_series(tmp_path), DEFAULT_BOOK)) == []


def test_the_table_says_of_pixels_what_their_own_table_does() -> None:
    said = {rule.code: rule.effect for rule in RULES if rule.subject == "slice"}
    effects = {"refused": "refuse", "fixed": "fix", "warned": "warn"}
    done = {rule.code: effects[rule.action] for rule in PIXEL_RULES}
    assert {code: said.get(code) for code in done} == done
