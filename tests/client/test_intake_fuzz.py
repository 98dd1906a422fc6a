"""Broken bytes anywhere in a study: always a verdict with a code, never a crash, a hang or a leak.

A few seconds in CI; longer with

    ICH_FUZZ_EXAMPLES=20000 python -m pytest tests/client/test_intake_fuzz.py
"""

from __future__ import annotations

import base64
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.encaps import encapsulate

from ichclient.errors import IchClientError, NothingFound
from ichclient.rules import DEFAULT_BOOK
from ichclient.validate import validation_from_path

EXAMPLES = int(os.environ.get("ICH_FUZZ_EXAMPLES", "120"))
MOST_MEMORY_MIB = 512
_SLICES = 10
_STREAMS = json.loads(Path(__file__).with_name("codestreams.json").read_text())
_BY_PYDICOM = {
    "rle": pydicom.uid.RLELossless,
    "jpeg_ls": pydicom.uid.JPEGLSLossless,
    "jpeg_2000": pydicom.uid.JPEG2000Lossless,
}
_BY_STREAM = {
    "jpeg_extended": "1.2.840.10008.1.2.4.51",
    "htj2k": "1.2.840.10008.1.2.4.201",
}
KINDS = ("plain", "deflated", "implicit", *_BY_PYDICOM, *_BY_STREAM)


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


def write_study(folder: Path, kind: str, make_series: Callable[..., Path]) -> Path:
    """Ten valid slices of one kind, made once."""
    if folder.exists():
        return folder
    tags: dict[str, Any] = {"z_mm": [10.0 * index for index in range(_SLICES)]}
    if kind == "deflated":
        tags["TransferSyntaxUID"] = pydicom.uid.DeflatedExplicitVRLittleEndian
    if kind == "implicit":
        tags["TransferSyntaxUID"] = pydicom.uid.ImplicitVRLittleEndian
    if kind == "jpeg_extended":
        tags |= {"BitsStored": 12, "HighBit": 11, "PixelRepresentation": 0}
    make_series(folder, **tags)
    for path in folder.iterdir():
        dataset = pydicom.dcmread(path)
        if kind in _BY_PYDICOM:
            dataset.compress(_BY_PYDICOM[kind], generate_instance_uid=False)
        if kind in _BY_STREAM:
            dataset.PixelData = encapsulate([base64.b64decode(_STREAMS[_BY_STREAM[kind]])])
            dataset["PixelData"].VR = "OB"
            dataset["PixelData"].is_undefined_length = True
            dataset.file_meta.TransferSyntaxUID = _BY_STREAM[kind]
        if kind in _BY_PYDICOM or kind in _BY_STREAM:
            dataset.save_as(path)
    assert validation_from_path(folder).exit_code == 0
    return folder


_change = st.one_of(
    st.tuples(st.just("put"), st.floats(0, 1), st.binary(min_size=1, max_size=6)),
    st.tuples(st.just("cut"), st.floats(0, 1), st.just(b"")),
    st.tuples(st.just("insert"), st.floats(0, 1), st.binary(min_size=1, max_size=6)),
)


def changed(whole: bytes, changes: list[tuple[str, float, bytes]]) -> bytes:
    for how, share, new in changes:
        place = int(share * len(whole))
        if how == "put":
            whole = whole[:place] + new + whole[place + len(new) :]
        elif how == "insert":
            whole = whole[:place] + new + whole[place:]
        else:
            whole = whole[:place]
    return whole


@pytest.mark.parametrize("kind", KINDS)
def test_broken_files_always_end_in_a_verdict(
    kind: str, studies: Path, make_series: Callable[..., Path]
) -> None:
    good = write_study(studies / kind, kind, make_series)
    broken = studies / f"{kind}_broken"
    shutil.copytree(good, broken)
    originals = {path.name: path.read_bytes() for path in good.iterdir()}
    known = {rule.code for rule in DEFAULT_BOOK.rules}

    @settings(
        max_examples=max(1, EXAMPLES // len(KINDS)),
        deadline=20_000,
        derandomize=EXAMPLES == 120,
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(
        changes=st.lists(_change, min_size=1, max_size=4),
        files=st.sets(st.integers(0, 9), min_size=1, max_size=3),
    )
    def broken_bytes(changes: list[tuple[str, float, bytes]], files: set[int]) -> None:
        for number in files:
            name = f"{number:03}.dcm"
            (broken / name).write_bytes(changed(originals[name], changes))
        try:
            told = validation_from_path(broken)
        except NothingFound:
            return
        except IchClientError as error:
            raise AssertionError(f"not told as a verdict: {error}") from error
        finally:
            for number in files:
                name = f"{number:03}.dcm"
                (broken / name).write_bytes(originals[name])
        assert told.verdict.code
        assert told.exit_code in (0, 3, 4)
        assert {one.code for one in told.skipped_files} <= known
        assert told.exit_code == 0 or told.verdict.sentence

    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew (Linux, proc(5))
    before_mib = memory_mib("VmRSS")
    broken_bytes()
    assert memory_mib("VmHWM") < before_mib + MOST_MEMORY_MIB


def memory_mib(field: str) -> float:
    """A line of this process's status in MiB: what it holds (VmRSS), or held at most (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (found,) = (line for line in lines if line.startswith(f"{field}:"))
    return int(found.split()[1]) / 1024
