"""The same study from a real PACS, by every way, is judged as it is from its folder."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from click.testing import CliRunner
from pydicom import dcmread
from pydicom.uid import JPEGLSLossless, RLELossless

from ichclient.cli import main
from ichclient.dicom import headers_from_path
from ichclient.errors import NothingFound, RefusedInput
from ichclient.headers import SliceHeader
from ichclient.hounsfield import hu_from_header
from ichclient.infer import considered_from_path
from ichclient.sources import Limits, SourceOptions, opened_source

STUDY, BRAIN, BONE = "1.2.826.7.1", "1.2.826.7.1.1", "1.2.826.7.1.2"
ACCESSION, SHARED_ACCESSION = "ACC-4711", "TWICE"
PATIENT = "SECRETPATIENT"
WAYS = ("dicomweb", "get", "move")
every_way = pytest.mark.parametrize("way", WAYS)


@pytest.fixture(scope="module")
def study(
    orthanc: Any, tmp_path_factory: pytest.TempPathFactory, make_series: Callable[..., Path]
) -> Path:
    """The folder of a study that Orthanc holds too, beside studies that nobody asks for."""
    folder = tmp_path_factory.mktemp("made")
    tags = {"StudyInstanceUID": STUDY, "PatientID": PATIENT, "AccessionNumber": ACCESSION}
    make_series(folder / "study" / "A", SeriesInstanceUID=BRAIN, **tags)
    bone = {"SeriesInstanceUID": BONE, "SeriesNumber": 3, "ConvolutionKernel": "BONE"}
    make_series(folder / "study" / "B", **bone, **tags)
    for number, file in enumerate(sorted((folder / "study" / "B").iterdir())):
        dataset = dcmread(file)
        dataset.compress(JPEGLSLossless if number % 2 else RLELossless, generate_instance_uid=False)
        dataset.save_as(file)
    for number in (1, 2):
        other = {"StudyInstanceUID": f"1.2.826.8.{number}", "AccessionNumber": SHARED_ACCESSION}
        make_series(
            folder / f"other{number}", [0.0], SeriesInstanceUID=f"1.2.826.8.{number}.1", **other
        )
    for file in sorted(folder.rglob("*.dcm")):
        orthanc.upload(file)
    return folder / "study"


def asked(orthanc: Any, way: str, **keys: str) -> tuple[str, SourceOptions]:
    """The text that a user types, and the options beside it."""
    place = orthanc.dicomweb if way == "dicomweb" else orthanc.dimse
    query = "&".join(f"{key}={quote(value)}" for key, value in keys.items())
    port = orthanc.move_port if way == "move" else None
    return f"{place}?{query}", SourceOptions(move_port=port, timeout_s=20)


def facts_of(headers: tuple[SliceHeader, ...]) -> dict[str, SliceHeader]:
    """Headers without what depends on where the file lies and how long its meta information is."""
    there = {"path": Path(), "relative_path": "", "pixel_offset": 0}
    return {one.SOPInstanceUID: replace(one, **there) for one in headers}  # type: ignore[arg-type]


def told(judgements: Any) -> list[Any]:
    """Judgements without the name of the folder."""
    return [replace(one, facts={**one.facts, "folder": ""}) for one in judgements]


def same_by(source: tuple[str, SourceOptions], folder: Path) -> None:
    """Headers, verdicts and every pixel by a source are those of a folder."""
    here = headers_from_path(folder)
    with opened_source(*source) as path:
        there = headers_from_path(path)
        assert facts_of(there.headers) == facts_of(here.headers)
        assert there.skipped == ()
        by_uid = {one.SOPInstanceUID: one for one in there.headers}
        for header in here.headers:
            fetched = hu_from_header(by_uid[header.SOPInstanceUID])
            np.testing.assert_array_equal(fetched.hu, hu_from_header(header).hu)
        assert told(considered_from_path(path)) == told(considered_from_path(folder))
    assert not path.exists()


@every_way
@pytest.mark.parametrize("key", ["StudyInstanceUID", "AccessionNumber"])
def test_a_study_is_the_same_by_every_way(orthanc: Any, study: Path, way: str, key: str) -> None:
    keys = {key: STUDY if key == "StudyInstanceUID" else ACCESSION}
    same_by(asked(orthanc, way, **keys), study)


@every_way
@pytest.mark.parametrize("keys", [{}, {"StudyInstanceUID": STUDY}, {"AccessionNumber": ACCESSION}])
def test_a_series_is_fetched_alone(
    orthanc: Any, study: Path, way: str, keys: dict[str, str]
) -> None:
    same_by(asked(orthanc, way, SeriesInstanceUID=BONE, **keys), study / "B")


@every_way
def test_a_real_head_is_the_same_by_every_way(
    orthanc: Any, head_ct_ge: Path, tmp_path: Path, way: str
) -> None:
    for file in sorted(head_ct_ge.iterdir()):
        orthanc.upload(file)
    first = headers_from_path(head_ct_ge).headers[0]
    same_by(asked(orthanc, way, StudyInstanceUID=first.StudyInstanceUID), head_ct_ge)


@every_way
@pytest.mark.parametrize(
    "keys",
    [
        {"StudyInstanceUID": "1.2.826.999"},
        {"AccessionNumber": "NONE"},
        {"SeriesInstanceUID": "1.2.826.999"},
        {"StudyInstanceUID": STUDY, "SeriesInstanceUID": "1.2.826.8.1.1"},
        {"StudyInstanceUID": "1.2.826.8.1", "AccessionNumber": ACCESSION},
    ],
)
def test_what_is_not_there_is_not_found(
    orthanc: Any, study: Path, way: str, keys: dict[str, str]
) -> None:
    with pytest.raises(NothingFound), opened_source(*asked(orthanc, way, **keys)):
        pytest.fail("something was found")


@every_way
def test_a_number_that_two_studies_carry_is_refused(orthanc: Any, study: Path, way: str) -> None:
    source = asked(orthanc, way, AccessionNumber=SHARED_ACCESSION)
    with pytest.raises(RefusedInput, match=r"1\.2\.826\.8\.1, 1\.2\.826\.8\.2"):
        considered_from_path(*source)
    one = asked(orthanc, way, AccessionNumber=SHARED_ACCESSION, StudyInstanceUID="1.2.826.8.2")
    assert len(considered_from_path(*one)) == 1


@every_way
@pytest.mark.parametrize(
    ("limits", "code"),
    [(Limits(max_files=15), "too_many_files"), (Limits(max_bytes=9000), "too_large")],
)
def test_more_than_allowed_is_refused(
    orthanc: Any, study: Path, way: str, limits: Limits, code: str, temporary: Path
) -> None:
    text, options = asked(orthanc, way, StudyInstanceUID=STUDY)
    with pytest.raises(RefusedInput, match=code):
        considered_from_path(text, replace(options, limits=limits))
    assert list(temporary.iterdir()) == []


@every_way
def test_progress_counts_images_up_to_all_of_them(orthanc: Any, study: Path, way: str) -> None:
    heard: list[tuple[str, int, int]] = []
    source = asked(orthanc, way, StudyInstanceUID=STUDY)
    with opened_source(*source, lambda *stage: heard.append(stage)):
        assert heard == [("fetching", 0, 0), *(("fetching", n, 40) for n in range(1, 41))]


@every_way
def test_no_identifier_of_the_patient_is_logged(
    orthanc: Any, study: Path, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        considered_from_path(*asked(orthanc, way, AccessionNumber=ACCESSION))
    assert PATIENT not in caplog.text
    assert "4711" not in caplog.text


def test_the_command_lists_a_study_of_a_pacs(orthanc: Any, study: Path) -> None:
    text, _ = asked(orthanc, "get", StudyInstanceUID=STUDY)
    answer = CliRunner().invoke(main, ["series", text])
    assert answer.exit_code == 0, answer.output
    assert "chosen" in answer.stdout
    assert "outranked" in answer.stdout
