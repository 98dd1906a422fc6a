"""A real Orthanc gets each object once: by both ways, over TLS, after a kill, after an absence."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from ichclient.delivery.outbox import opened_outbox
from ichclient.sources import SourceOptions

pytest.importorskip("httpx")
pytest.importorskip("pynetdicom")
pytestmark = [
    pytest.mark.usefixtures("swept"),
    pytest.mark.filterwarnings(
        "ignore:Exception ignored in. <s.*ocket fd:pytest.PytestUnraisableExceptionWarning"
    ),
]

WAYS = ("stow", "dimse")
every_way = pytest.mark.parametrize("way", WAYS)
_WITHIN_S = 60


def target_of(orthanc: Any, way: str) -> str:
    return orthanc.dicomweb.replace("dicomweb:", "stow:") if way == "stow" else orthanc.dimse


def arrived(orthanc: Any, prefix: str) -> list[str]:
    return [uid for uid in orthanc.arrivals() if uid.startswith(prefix)]


@every_way
def test_orthanc_has_each_object_once_and_as_it_is(
    deliver: Any, orthanc: Any, write_objects: Any, tmp_path: Path, way: str
) -> None:
    prefix = f"1.2.7.{WAYS.index(way)}."
    uids = [f"{prefix}{number}" for number in range(3)]
    files = write_objects(tmp_path / "dicom", *uids)
    target = target_of(orthanc, way)
    deliver.add(target, files)
    for _ in range(2):
        assert set(deliver().values()) == {"sent"}
        deliver.add(target, files)
    assert arrived(orthanc, prefix) == uids
    held = {
        one["MainDicomTags"]["SOPInstanceUID"]: one["ID"]
        for one in orthanc.asked("/instances?expand")
    }
    for uid, file in zip(uids, files, strict=True):
        kept = orthanc.content(f"/instances/{held[uid]}/file")
        (tmp_path / "kept.dcm").write_bytes(kept)
        assert dcmread(tmp_path / "kept.dcm") == dcmread(file)


@every_way
def test_what_was_under_way_is_asked_for_at_orthanc(
    deliver: Any, orthanc: Any, write_objects: Any, tmp_path: Path, way: str
) -> None:
    prefix = f"1.2.6.{WAYS.index(way)}."
    there, lost, fresh = (f"{prefix}{number}" for number in range(3))
    files = write_objects(tmp_path / "dicom", there, lost, fresh)
    orthanc.upload(files[0])
    deliver.add(target_of(orthanc, way), files)
    deliver.mark_sending(there, lost)
    assert set(deliver().values()) == {"sent"}
    assert sorted(arrived(orthanc, prefix)) == [there, lost, fresh]
    assert (there, "stored", "was there already") in deliver.told


@every_way
def test_a_deliverer_that_is_killed_has_lost_and_doubled_nothing(
    orthanc: Any, write_objects: Any, tmp_path: Path, way: str
) -> None:
    """Killed again and again, wherever it stands, until everything is there."""
    prefix = f"1.2.5.{WAYS.index(way)}."
    uids = [f"{prefix}{number}" for number in range(24)]
    files = write_objects(tmp_path / "dicom", *uids)
    with opened_outbox(tmp_path / "outbox.sqlite3") as outbox:
        for number in range(0, len(files), 2):
            group = files[number : number + 2]
            outbox.add(target_of(orthanc, way), group, f"study {number}")
    kills = 0
    deadline = time.monotonic() + _WITHIN_S
    while (before := len(arrived(orthanc, prefix))) < len(uids):
        assert time.monotonic() < deadline
        process = subprocess.Popen(
            [sys.executable, "-m", "ichclient", "deliver", str(tmp_path)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        while len(arrived(orthanc, prefix)) < before + 7 and process.poll() is None:
            time.sleep(0.001)
        process.kill()
        _, said = process.communicate()
        assert process.returncode in (0, -signal.SIGKILL), said.decode()
        kills += process.returncode != 0
        # What it had handed over is stored before somebody asks for it.
        while len(set(arrived(orthanc, prefix))) > sum(
            uid.startswith(prefix) for uid in orthanc.instances()
        ):
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert kills >= 2
    end = subprocess.run(
        [sys.executable, "-m", "ichclient", "deliver", str(tmp_path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert end.returncode == 0, end.stderr
    assert sorted(arrived(orthanc, prefix)) == sorted(uids)


@every_way
def test_orthanc_that_comes_back_gets_each_object_once(
    deliver: Any, start_orthanc: Any, write_objects: Any, tmp_path: Path, way: str
) -> None:
    uids = ["1.2.4.1", "1.2.4.2", "1.2.4.3"]
    files = write_objects(tmp_path / "dicom", *uids)
    with start_orthanc(tmp_path / "orthanc") as orthanc:
        deliver.add(target_of(orthanc, way), files[:1])
        deliver()
    deliver.add(target_of(orthanc, way), files)
    for _ in range(3):
        assert sorted(deliver().values()) == ["sent", "waiting", "waiting"]
        deliver.now += 400
    with start_orthanc(tmp_path / "orthanc", orthanc) as again:
        assert set(deliver().values()) == {"sent"}
        assert again.instances() == uids
        assert again.arrivals() == uids


@every_way
def test_orthanc_is_reached_over_tls_with_a_certificate_of_our_own(
    deliver: Any,
    start_orthanc: Any,
    certificate: tuple[Path, Path],
    tls_in_front: Callable[[int], int],
    write_objects: Any,
    tmp_path: Path,
    way: str,
) -> None:
    """DICOM by Orthanc's own TLS; HTTP through a proxy, as Debian's Orthanc crashes over HTTPS."""
    key, file = certificate
    settings = {
        "DicomTlsEnabled": True,
        "DicomTlsCertificate": str(file),
        "DicomTlsPrivateKey": str(key),
        "DicomTlsTrustedCertificates": str(file),
    }
    uids = ["1.2.3.1", "1.2.3.2"]
    with start_orthanc(tmp_path / "orthanc", **settings) as orthanc:
        target = f"dimse-tls:ORTHANC@127.0.0.1:{orthanc.dicom_port}"
        if way == "stow":
            target = f"stow:https://127.0.0.1:{tls_in_front(orthanc.http_port)}/dicom-web"
        deliver.add(target, write_objects(tmp_path / "dicom", *uids))
        # Neither side trusts the other, then only we trust it.
        for known in ({}, {"ca_file": file}):
            deliver.options = SourceOptions(timeout_s=5.0, **known)
            assert "sent" not in deliver().values()
            assert orthanc.arrivals() == []
            deliver.now += 400
        deliver.options = SourceOptions(timeout_s=10.0, ca_file=file, certificate=file, key=key)
        assert set(deliver().values()) == {"sent"}
        assert orthanc.arrivals() == uids
