"""A real PACS for tests: Orthanc on free loopback ports, with its own folder and configuration."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

DICOMWEB_PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
_PROGRAM = "Orthanc"
_READY_WITHIN_S = 60


@dataclass(frozen=True)
class Orthanc:
    """Where an Orthanc listens, and to which port it moves studies for `ICHCLIENT`."""

    http_port: int
    dicom_port: int
    move_port: int

    @property
    def dicomweb(self) -> str:
        return f"dicomweb:http://127.0.0.1:{self.http_port}/dicom-web"

    @property
    def dimse(self) -> str:
        return f"dimse:ORTHANC@127.0.0.1:{self.dicom_port}"

    def upload(self, file: Path) -> None:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.http_port}/instances", file.read_bytes(), method="POST"
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert json.load(answer)["Status"] in ("Success", "AlreadyStored")


def why_absent() -> str | None:
    """Why Orthanc cannot be started here; None where it can."""
    if program() is None or not DICOMWEB_PLUGIN.exists():
        return "Orthanc is absent: apt-get install --no-install-recommends orthanc orthanc-dicomweb"
    return None


def program() -> str | None:
    return shutil.which(_PROGRAM) or shutil.which(_PROGRAM, path="/usr/sbin:/usr/local/sbin")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def running_orthanc(folder: Path) -> Iterator[Orthanc]:
    """Start the installed Orthanc with everything that it writes below `folder`."""
    ports = Orthanc(free_port(), free_port(), free_port())
    configuration = {
        "Name": "TEST",
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "Plugins": [str(DICOMWEB_PLUGIN)],
        "HttpPort": ports.http_port,
        "DicomPort": ports.dicom_port,
        "DicomAet": "ORTHANC",
        "DicomCheckCalledAet": True,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomAlwaysAllowFind": True,
        "DicomAlwaysAllowGet": True,
        "DicomAlwaysAllowMove": True,
        "DicomModalities": {"client": ["ICHCLIENT", "127.0.0.1", ports.move_port]},
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "orthanc.json").write_text(json.dumps(configuration))
    log_path = folder / "orthanc.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [str(program()), str(folder / "orthanc.json")],
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=folder,
        )
    try:
        _await_answer(ports, process, log_path)
        yield ports
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await_answer(ports: Orthanc, process: subprocess.Popen[bytes], log_path: Path) -> None:
    deadline = time.monotonic() + _READY_WITHIN_S
    url = f"http://127.0.0.1:{ports.http_port}/dicom-web/studies"
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (URLError, OSError):
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(log_path.read_text(errors="replace")[-2000:]) from None
            time.sleep(0.05)
