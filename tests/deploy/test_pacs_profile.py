"""Orthanc, the station and a secured server, joined as compose joins them: one study goes round."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.client.pacs_programs import Orthanc, free_port, running_orthanc, why_absent

pytestmark = pytest.mark.triton

WITHIN_S = 120.0


@pytest.fixture
def command(checkout: Path) -> dict[str, str]:
    """The station's options in compose, by name."""
    services = yaml.safe_load((checkout / "docker/compose.yaml").read_text())["services"]
    listen, *options = services["listener"]["command"]
    assert listen == "listen"
    return dict(option.removeprefix("--").partition("=")[::2] for option in options)


@pytest.fixture
def settings(checkout: Path) -> dict[str, Any]:
    """Orthanc's configuration in compose, without what this machine has elsewhere."""
    found = json.loads((checkout / "docker/orthanc/orthanc.json").read_text())
    for elsewhere in ("StorageDirectory", "IndexDirectory", "Plugins", "HttpPort", "DicomPort"):
        del found[elsewhere]
    return {**found, "AuthenticationEnabled": False, "RemoteAccessAllowed": False, "StableAge": 1}


@contextmanager
def station(options: dict[str, str], log_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`ichclient listen` with options by name."""
    arguments = [f"--{name}={value}" if value else f"--{name}" for name, value in options.items()]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "ichclient", "listen", *arguments],
            stdout=log, stderr=log, env=environment,
        )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def test_the_parts_name_each_other(command: dict[str, str], settings: dict[str, Any]) -> None:
    ae_title, host, port = settings["DicomModalities"]["ichclient"]
    assert (ae_title, host, str(port)) == (command["ae-title"], "listener", command["port"])
    assert command["peer"] == settings["DicomAet"]
    assert command["store-to"] == f"dimse:{settings['DicomAet']}@orthanc:4242"


def test_a_study_comes_back_with_its_report_and_is_judged_once(
    hardened: Any,
    certificates: Any,
    checkout: Path,
    tmp_path: Path,
    command: dict[str, str],
    settings: dict[str, Any],
) -> None:
    if reason := why_absent():
        pytest.skip(reason)
    port, tls = free_port(), certificates.client
    settings["DicomModalities"] = {"ichclient": ["ICHCLIENT", "127.0.0.1", port]}
    settings["LuaScripts"] = [str(checkout / "docker/orthanc/forward.lua")]
    with running_orthanc(tmp_path / "orthanc", **settings) as orthanc:
        options = {
            **command,
            "state": str(tmp_path / "state"),
            "address": "127.0.0.1",
            "port": str(port),
            "store-to": f"dimse:ORTHANC@127.0.0.1:{orthanc.dicom_port}",
            "quiet": "1",
            "keep-free-gib": "0",
            "url": hardened.url,
            "server-ca": str(tls / "ca.crt"),
            "server-cert": str(tls / "tls.crt"),
            "server-key": str(tls / "tls.key"),
            "server-name": "ich-triton",
        }
        log_path = tmp_path / "station.log"
        with station(options, log_path) as process:
            until(lambda: "listening" in log_path.read_text(), process, log_path)
            for file in sorted((checkout / "examples" / "phantom-sdh").glob("*.dcm")):
                orthanc.upload(file)
            until(lambda: "SR" in modalities(orthanc), process, log_path)
            # Its own objects make series stable too; none of them may come back to it.
            until(lambda: all_are_stable(orthanc), process, log_path)
            until(lambda: all_jobs_ended(orthanc), process, log_path)
            jobs = orthanc.asked("/jobs?expand")
            assert [(job["Type"], job["State"]) for job in jobs] == [
                ("DicomModalityStore", "Success")
            ]
            assert len(orthanc.asked("/studies")) == 1
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=WITHIN_S)
        log = log_path.read_text()
        assert "PHANTOM" not in log


def modalities(orthanc: Orthanc) -> set[str]:
    return {one["MainDicomTags"]["Modality"] for one in orthanc.asked("/series?expand")}


def all_are_stable(orthanc: Orthanc) -> bool:
    return all(one["IsStable"] for one in orthanc.asked("/series?expand"))


def all_jobs_ended(orthanc: Orthanc) -> bool:
    return all(job["State"] in ("Success", "Failure") for job in orthanc.asked("/jobs?expand"))


def until(true: Any, process: subprocess.Popen[bytes], log_path: Path) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not true():
        assert process.poll() is None, log_path.read_text()
        assert time.monotonic() < deadline, log_path.read_text()
        time.sleep(0.1)
