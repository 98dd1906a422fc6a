"""Every transfer syntax gives the same Hounsfield units, or says what it lost."""

from __future__ import annotations

import base64
import io
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom.encaps import encapsulate

from ichclient import decoder, hounsfield
from ichclient.codecs import LOSSY_SYNTAXES, SYNTAXES, codecs
from ichclient.decoder import DecodeError, DecoderProcess, Encoding, values_from_bytes
from ichclient.decoders import decoder_pool
from ichclient.dicom import headers_from_path
from ichclient.errors import RefusedInput
from ichclient.headers import SliceHeader
from ichclient.hounsfield import hu_from_header, hu_slices_from_series
from ichclient.series import chosen_series, series_from_scan

Make = Callable[..., Any]

# GDCM's name for each syntax that it writes without loss.
BY_GDCM = {
    "1.2.840.10008.1.2": "ImplicitVRLittleEndian",
    "1.2.840.10008.1.2.1": "ExplicitVRLittleEndian",
    "1.2.840.10008.1.2.1.99": "DeflatedExplicitVRLittleEndian",
    "1.2.840.10008.1.2.2": "ExplicitVRBigEndian",
    "1.2.840.10008.1.2.5": "RLELossless",
    "1.2.840.10008.1.2.4.57": "JPEGLosslessProcess14",
    "1.2.840.10008.1.2.4.70": "JPEGLosslessProcess14_1",
    "1.2.840.10008.1.2.4.80": "JPEGLSLossless",
    "1.2.840.10008.1.2.4.90": "JPEG2000Lossless",
}
BASELINE, EXTENDED = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"
NEAR_LOSSLESS, JPEG_2000 = "1.2.840.10008.1.2.4.81", "1.2.840.10008.1.2.4.91"
STORED = {  # codestreams that nothing here can write, with the largest error in HU
    EXTENDED: 5,
    "1.2.840.10008.1.2.4.201": 0,
    "1.2.840.10008.1.2.4.202": 0,
    "1.2.840.10008.1.2.4.203": 166,
}
CODESTREAMS = json.loads(Path(__file__).with_name("codestreams.json").read_text())


def header_of(path: Path) -> SliceHeader:
    (header,) = headers_from_path(path).headers
    return header


def rewritten(source: Path, target: Path, uid: str) -> Path:
    """The same file in another transfer syntax, pixels transcoded by GDCM."""
    gdcm = pytest.importorskip("gdcm", reason="python-gdcm is not installed")
    reader = gdcm.ImageReader()
    reader.SetFileName(str(source))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, BY_GDCM[uid])))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(target))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    assert pydicom.dcmread(target).file_meta.TransferSyntaxUID == uid
    return target


def write_codestream(path: Path, make_slice: Make, uid: str, data: bytes, **tags: Any) -> Path:
    dataset = make_slice(path, **tags)
    dataset.PixelData = encapsulate([data])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = uid
    dataset.save_as(path)
    return path


def test_every_syntax_that_is_named_is_tested_here() -> None:
    tested = {*BY_GDCM, BASELINE, NEAR_LOSSLESS, JPEG_2000, *STORED}
    assert tested == {syntax.uid for syntax in SYNTAXES}
    assert all(codec.available for codec in codecs()), "the default install reads all of them"


@pytest.mark.parametrize("uid", BY_GDCM)
def test_a_real_slice_has_the_same_hounsfield_units_in_every_lossless_syntax(
    tmp_path: Path, head_ct_ge: Path, uid: str
) -> None:
    for name in ("03.dcm", "15.dcm", "27.dcm"):
        original = hu_from_header(header_of(head_ct_ge / name))
        copy = hu_from_header(header_of(rewritten(head_ct_ge / name, tmp_path / name, uid)))
        np.testing.assert_array_equal(copy.hu, original.hu)
        assert "lossy_source" not in {warning.code for warning in copy.warnings}


@pytest.mark.parametrize("signed", [0, 1])
@pytest.mark.parametrize("uid", BY_GDCM)
def test_a_made_slice_has_the_same_hounsfield_units_in_every_lossless_syntax(
    tmp_path: Path, make_slice: Make, made_hu: NDArray[np.int16], uid: str, signed: int
) -> None:
    """Negative stored values too: a codec that has no sign must not lose it."""
    offset = 0 if signed else 1024
    stored = made_hu.astype(np.int32) + offset
    make_slice(
        tmp_path / "a.dcm",
        PixelData=stored.astype("<i2").tobytes(),
        PixelRepresentation=signed,
        RescaleIntercept=-offset,
    )
    one = hu_from_header(header_of(rewritten(tmp_path / "a.dcm", tmp_path / "b.dcm", uid)))
    assert (one.hu == made_hu).all()


@pytest.mark.parametrize(
    ("uid", "options", "largest_hu"),
    [(NEAR_LOSSLESS, {"jls_error": 3}, 3), (JPEG_2000, {"j2k_cr": [3]}, 200)],
)
def test_what_was_compressed_with_loss_says_so_with_its_ratio(
    tmp_path: Path,
    make_slice: Make,
    made_hu: NDArray[np.int16],
    uid: str,
    options: dict[str, Any],
    largest_hu: float,
) -> None:
    dataset = make_slice(tmp_path / "a.dcm", PixelRepresentation=0)
    dataset.compress(uid, **options)
    dataset.save_as(tmp_path / "a.dcm")
    one = hu_from_header(header_of(tmp_path))
    assert 0 < abs(one.hu - made_hu).max() <= largest_hu
    assert [warning.code for warning in one.warnings] == ["lossy_source"]
    assert ":1 (measured)" in one.warnings[0].sentence


def test_jpeg_baseline_is_read_and_told(
    tmp_path: Path, make_slice: Make, made_hu: NDArray[np.int16]
) -> None:
    plane = ((made_hu.astype(np.int32) + 1000) // 8).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(plane).save(stream, "JPEG", quality=95)
    write_codestream(
        tmp_path / "a.dcm", make_slice, BASELINE, stream.getvalue(), PixelRepresentation=0,
        BitsAllocated=8, BitsStored=8, HighBit=7, RescaleSlope=8, RescaleIntercept=-1000,
        LossyImageCompression="01", LossyImageCompressionRatio="7.5",
    )  # fmt: skip
    one = hu_from_header(header_of(tmp_path))
    assert abs(one.hu - made_hu).mean() < 40
    assert [(w.code, "7.5:1 (stated)" in w.sentence) for w in one.warnings] == [
        ("lossy_source", True)
    ]


@pytest.mark.parametrize(("uid", "largest_hu"), STORED.items())
def test_codestreams_of_other_programs_are_read(
    tmp_path: Path, make_slice: Make, made_hu: NDArray[np.int16], uid: str, largest_hu: float
) -> None:
    bits = {"BitsStored": 12, "HighBit": 11, "PixelRepresentation": 0} if uid == EXTENDED else {}
    data = base64.b64decode(CODESTREAMS[uid])
    write_codestream(tmp_path / "a.dcm", make_slice, uid, data, **bits)
    one = hu_from_header(header_of(tmp_path))
    assert abs(one.hu - made_hu).max() <= largest_hu
    assert abs(one.hu - made_hu).mean() <= largest_hu / 4
    assert ("lossy_source" in {w.code for w in one.warnings}) == (uid in LOSSY_SYNTAXES)


def test_a_sign_that_jpeg_2000_lost_is_restored() -> None:
    """A real head CT, shipped with pydicom, whose codestream calls its signed values unsigned."""
    path = Path(str(pydicom.data.get_testdata_file("J2K_pixelrep_mismatch.dcm")))
    one = hu_from_header(header_of(path))
    assert (one.hu[:20, :20] == -1024).all()  # its padding is -2000; unsigned it would be 6192
    assert one.hu.max() < 3000


def test_what_is_missing_is_named_with_what_to_install(
    tmp_path: Path, make_slice: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = make_slice(tmp_path / "a.dcm")
    dataset.compress(pydicom.uid.JPEGLSLossless)
    dataset.save_as(tmp_path / "a.dcm")
    monkeypatch.setattr("ichclient.pixels.is_decoded", lambda uid: False)
    with pytest.raises(RefusedInput, match=r"JPEG-LS.*pip install pyjpegls.*unsupported_transfer"):
        hu_from_header(header_of(tmp_path))


def test_raw_pixels_under_a_compressed_label_are_read_with_a_warning(
    tmp_path: Path, make_slice: Make, made_hu: NDArray[np.int16]
) -> None:
    make_slice(tmp_path / "a.dcm")
    whole = (tmp_path / "a.dcm").read_bytes()
    label = b"1.2.840.10008.1.2.5"  # as long as the one it replaces
    (tmp_path / "a.dcm").write_bytes(whole.replace(b"1.2.840.10008.1.2.1", label, 1))
    one = hu_from_header(header_of(tmp_path))
    assert (one.hu == made_hu).all()
    assert [warning.code for warning in one.warnings] == ["wrong_transfer_syntax"]


def test_compressed_pixels_under_a_raw_label_are_refused(tmp_path: Path, make_slice: Make) -> None:
    dataset = make_slice(tmp_path / "a.dcm")
    dataset.compress(pydicom.uid.RLELossless)
    dataset.save_as(tmp_path / "a.dcm")
    whole = (tmp_path / "a.dcm").read_bytes()
    label = b"1.2.840.10008.1.2.1"
    (tmp_path / "a.dcm").write_bytes(whole.replace(b"1.2.840.10008.1.2.5", label, 1))
    with pytest.raises(RefusedInput, match="undecodable_pixels"):
        hu_from_header(header_of(tmp_path))


@pytest.fixture
def child() -> Iterator[DecoderProcess]:
    process = DecoderProcess()
    yield process
    process.close()


def rle_plane(tmp_path: Path, make_slice: Make) -> tuple[bytes, Encoding]:
    dataset = make_slice(tmp_path / "a.dcm")
    dataset.compress(pydicom.uid.RLELossless)
    data = pydicom.encaps.get_frame(dataset.PixelData, 0, number_of_frames=1)
    encoding = Encoding(
        "1.2.840.10008.1.2.5", True, "PixelData", "OB", 32, 32, 16, 16, 1, "MONOCHROME2"
    )
    return data, encoding


def test_a_child_decodes_as_this_process_does_and_outlives_broken_bytes(
    tmp_path: Path, make_slice: Make, child: DecoderProcess
) -> None:
    data, encoding = rle_plane(tmp_path, make_slice)
    with pytest.raises(DecodeError):
        child.values(data[:70], encoding)
    got = child.values(data, encoding)
    np.testing.assert_array_equal(got, values_from_bytes(data, encoding))


def test_a_child_that_is_lost_costs_one_refusal(
    tmp_path: Path, make_slice: Make, child: DecoderProcess
) -> None:
    data, encoding = rle_plane(tmp_path, make_slice)
    child.values(data, encoding)
    assert child._child is not None
    child._child.kill()
    with pytest.raises(DecodeError, match="crashed"):
        child.values(data, encoding)
    assert child.values(data, encoding).shape == (32, 32)


def test_a_fork_starts_children_of_its_own() -> None:
    mine = decoder_pool()
    reading, writing = os.pipe()
    if (pid := os.fork()) == 0:
        os.write(writing, b"1" if decoder_pool() is not mine else b"0")
        os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(reading, 1) == b"1"


def test_a_child_that_does_not_end_is_ended(
    tmp_path: Path, make_slice: Make, child: DecoderProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoder, "DECODE_LIMIT_S", 0.0)
    with pytest.raises(DecodeError, match="in time"):
        child.values(*rle_plane(tmp_path, make_slice))


def test_a_long_compressed_series_is_decoded_by_children_with_the_same_values(
    tmp_path: Path, make_series: Make, made_hu: NDArray[np.int16], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_series(tmp_path)
    for path in tmp_path.iterdir():
        dataset = pydicom.dcmread(path)
        dataset.compress(pydicom.uid.RLELossless)
        dataset.save_as(path)
    monkeypatch.setattr(hounsfield, "_SLICES_WORTH_A_PROCESS", 20)
    asked: list[int] = []
    plain = DecoderProcess.values
    decoder_pool().grow(2)
    decoder_pool().wait()

    def values(self: DecoderProcess, data: bytes, encoding: Encoding) -> NDArray[Any]:
        asked.append(len(data))
        return plain(self, data, encoding)

    monkeypatch.setattr(DecoderProcess, "values", values)
    series = chosen_series(series_from_scan(headers_from_path(tmp_path)))
    slices = list(hu_slices_from_series(series, workers=2))
    assert [one.header.SOPInstanceUID for one in slices] == [
        header.SOPInstanceUID for header in series.slices
    ]
    assert all((one.hu == made_hu).all() for one in slices)
    assert len(asked) == 20
