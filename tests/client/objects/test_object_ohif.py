"""The adapters with which OHIF reads SEG and SR find our mask and our point where they are."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ichclient.objects.files import MASK_FILE, REPORT_FILE
from ichclient.objects.judgement import Judgement
from ichclient.objects.place import highest_place
from ichclient.output import write_files

BIN = Path(sys.executable).parent
ADAPTERS = Path(__file__).with_name("ohif")


def read_by_adapters(study: Path, out: Path) -> Any:
    """What `ohif/read.mjs` tells of the segmentation and the report in `out`."""
    node = shutil.which("node", path=f"{BIN}{os.pathsep}{os.environ['PATH']}")
    if node is None:
        pytest.skip("Node is not installed: the extra dev brings it")
    if not (ADAPTERS / "node_modules").is_dir():
        pytest.skip("Cornerstone's adapters are not installed: make test does that")
    command = [node, ADAPTERS / "read.mjs", study, out / MASK_FILE, out / REPORT_FILE]
    done = subprocess.run(
        [*command, out / "read.json"], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return json.loads((out / "read.json").read_text())


@pytest.fixture(params=["slices", "frames"])
def read(
    request: pytest.FixtureRequest,
    make_series: Callable[..., Path],
    make_legacy_converted: Callable[..., Path],
    judge: Callable[..., Any],
    tmp_path: Path,
) -> tuple[Any, Any]:
    """A judged study, and what the adapters read of its objects."""
    folder = make_series(tmp_path / "single", PatientBirthDate="19500102", StudyDate="20260101")
    if request.param == "frames":
        folder = make_legacy_converted(folder, tmp_path / "multi" / "one.dcm").parent
    study, out = judge(folder), tmp_path / "out"
    out.mkdir()
    write_files(out, study.files(out))
    return study, read_by_adapters(folder, out)


def judgement_of(study: Any) -> Judgement:
    return Judgement(study.series, study.judged, study.result, None, None)  # type: ignore[arg-type]


def test_the_mask_and_the_point_are_found_where_they_are(read: tuple[Any, Any]) -> None:
    study, told = read
    assert_mask_on_its_images(study, told)
    assert_point_in_the_mask(study, told)


def assert_mask_on_its_images(study: Any, told: Any) -> None:
    judgement = judgement_of(study)
    found = {
        (image["uid"], image["frame"]): image["inside"] for image in told["segmentation"]["images"]
    }
    assert len(found) == len(study.series.slices)
    for index, header in enumerate(study.series.slices):
        inside = np.flatnonzero(judgement.mask(index) >= 0.5 * 255)
        assert found[header.SOPInstanceUID, header.frame_number] == inside.tolist()
        assert inside.size > 0
    assert told["segmentation"]["label"].startswith("ICH")


def assert_point_in_the_mask(study: Any, told: Any) -> None:
    point, *members = told["report"]
    assert [group["name"] for group in told["report"]] == ["ICH at balanced", "ich_any", "ich_sdh"]
    assert (point["tool"], point["finding"]) == ("Probe", "1386000")
    assert all("tool" not in group for group in members), "members mark no place"
    place = highest_place(judgement_of(study))
    assert place is not None
    header = study.series.slices[place.index]
    assert (point["uid"], point["frame"]) == (header.SOPInstanceUID, header.frame_number)
    along_row, along_column = np.reshape(header.ImageOrientationPatient, (2, 3))
    row_mm, column_mm = header.PixelSpacing
    # The middle of the pixel: Cornerstone takes coordinates from its corner, as DICOM does.
    middle = header.ImagePositionPatient + along_row * column_mm * place.column
    middle = middle + along_column * row_mm * place.row
    assert np.allclose(point["world"], middle, atol=0.01)
