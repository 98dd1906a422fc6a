"""The loop: Orthanc -> `ichclient listen` -> SR, masks, key images -> Orthanc, and work list."""

from __future__ import annotations

import io
import json
import urllib.request
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread

from ichclient.audit.log import AuditLog
from ichclient.audit.verify import verification_of_folder
from ichclient.station.folder import StationFolder
from ichclient.worklist.access import WorklistOptions
from ichclient.worklist.routes import Request, Worklist

from .conftest import Process, until

REPORT, SEGMENTATION = "1.2.840.10008.5.1.4.1.1.88.34", "1.2.840.10008.5.1.4.1.1.66.4"
KEY_IMAGE, KEY_OBJECTS = "1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.88.59"


def post(url: str, content: object) -> Any:
    request = urllib.request.Request(url, json.dumps(content).encode(), method="POST")
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer)


def held_by(orthanc: Any) -> list[Dataset]:
    """Everything that an Orthanc holds, as it holds it."""
    files = []
    for one in orthanc.asked("/instances"):
        with urllib.request.urlopen(f"{orthanc.url}/instances/{one}/file", timeout=60) as answer:
            files.append(dcmread(io.BytesIO(answer.read())))
    return files


@pytest.mark.triton
def test_a_study_comes_from_orthanc_and_its_objects_go_back_by_both_ways(
    start: Callable[..., Process],
    start_orthanc: Callable[..., AbstractContextManager[Any]],
    unused_port: int,
    checkout: Path,
    tmp_path: Path,
) -> None:
    images = sorted((checkout / "examples" / "phantom-sdh").glob("*.dcm"))
    first = dcmread(images[0])
    modalities = {"station": ["ICHCLIENT", "127.0.0.1", unused_port]}
    with (
        start_orthanc(tmp_path / "a", DicomModalities=modalities) as by_store,
        start_orthanc(tmp_path / "b") as by_stow,
    ):
        targets = ("--store-to", by_store.dimse, "--store-to", f"stow:{by_stow.url}/dicom-web")
        station = start(*targets, "--peer", "ORTHANC@127.0.0.1")
        for file in images:
            by_store.upload(file)
            by_stow.upload(file)
        (study,) = by_store.asked("/studies")
        done = post(f"{by_store.url}/modalities/station/store", study)
        assert (done["InstancesCount"], done["FailedInstancesCount"]) == (len(images), 0)
        station.until_told("queued")
        until(lambda: station.unsent() == 0)
        assert station.stop() == 0

        (judged,) = station.studies()
        assert judged.decisions["balanced"] == "positive"
        written = {
            one.SOPInstanceUID: one
            for one in map(dcmread, station.state.glob(f"results/{judged.key}/dicom/*.dcm"))
        }
        for orthanc in (by_store, by_stow):
            (known,) = orthanc.asked("/studies?expand")  # one study, as before
            assert known["MainDicomTags"]["StudyInstanceUID"] == first.StudyInstanceUID
            held = held_by(orthanc)
            objects = {one.SOPInstanceUID: one for one in held if one.Modality != "CT"}
            assert objects == written
            assert {one.PatientID for one in objects.values()} == {first.PatientID}
            kinds = Counter(str(one.SOPClassUID) for one in objects.values())
            assert kinds[REPORT] == kinds[KEY_OBJECTS] == 1
            assert kinds[SEGMENTATION] == 2
            assert kinds[KEY_IMAGE] >= 1
            arrivals = orthanc.arrivals()
            assert len(arrivals) == len(set(arrivals)) == len(images) + len(written)
    assert station.told("delivered") == 2 * len(written)
    audit = (station.state / "audit.jsonl").read_text()
    for secret in (str(first.StudyInstanceUID), str(first.PatientID), str(first.PatientName)):
        assert secret not in audit + station.text
    assert verification_of_folder(station.state).ok

    folder, host = StationFolder.found(station.state), {"Host": "localhost"}
    worklist = Worklist(folder, WorklistOptions(), AuditLog(folder.path))
    (listed,) = json.loads(worklist.reply(Request("GET", "/api/studies", host)).body)["studies"]
    assert (listed["lane"], listed["key"]) == ("positive", judged.key)
    assert listed["study_score"] == judged.study_score
    shown = worklist.reply(Request("GET", listed["report"], host))
    assert (shown.status, b"Positive at all" in shown.body) == (200, True)
