"""PACS of Debian's packages for tests: a real Orthanc, and what it takes to start programs.

All listen on free loopback ports; Orthanc keeps everything in a folder of its own.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest

DICOMWEB_PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
_PROGRAM = "Orthanc"
_READY_WITHIN_S = 60
_LUA = """
function ReceivedInstanceFilter(dicom, origin)
  local file = io.open("{folder}/arrivals", "a")
  file:write(dicom["SOPInstanceUID"] .. "\\n")
  file:close()
  return true
end
"""


@dataclass(frozen=True)
class Orthanc:
    """Where an Orthanc listens, and to which port it moves studies for `ICHCLIENT`."""

    http_port: int
    dicom_port: int
    move_port: int
    folder: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def dicomweb(self) -> str:
        return f"dicomweb:{self.url}/dicom-web"

    @property
    def dimse(self) -> str:
        return f"dimse:ORTHANC@127.0.0.1:{self.dicom_port}"

    def upload(self, file: Path) -> None:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.http_port}/instances", file.read_bytes(), method="POST"
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert json.load(answer)["Status"] in ("Success", "AlreadyStored")

    def content(self, path: str) -> bytes:
        """What its REST API answers."""
        with urllib.request.urlopen(self.url + path, timeout=30) as answer:
            return bytes(answer.read())

    def asked(self, path: str) -> Any:
        """What its REST API answers in JSON."""
        return json.loads(self.content(path))

    def instances(self) -> list[str]:
        """The SOPInstanceUIDs of all that it holds."""
        held = self.asked("/instances?expand")
        return sorted(one["MainDicomTags"]["SOPInstanceUID"] for one in held)

    def arrivals(self) -> list[str]:
        """The SOPInstanceUIDs of all that ever came, in that order, a second coming too."""
        file = self.folder / "arrivals"
        return file.read_text().split() if file.exists() else []


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
def running_orthanc(
    folder: Path, ports: Orthanc | None = None, **settings: Any
) -> Iterator[Orthanc]:
    """Start the installed Orthanc with everything that it writes below `folder`.

    With `ports` it listens where an earlier one did.
    """
    ports = ports or Orthanc(free_port(), free_port(), free_port(), folder)
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
        "LuaScripts": [str(folder / "orthanc.lua")],
        **settings,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "orthanc.lua").write_text(_LUA.format(folder=folder))
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
    while True:
        try:
            ports.asked("/system")
            return
        except (URLError, OSError):
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(log_path.read_text(errors="replace")[-2000:]) from None
            time.sleep(0.05)


@pytest.fixture(scope="session")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    """A running Orthanc that holds nothing at first."""
    if reason := why_absent():
        pytest.skip(reason)
    with running_orthanc(tmp_path_factory.mktemp("orthanc")) as server:
        yield server


@pytest.fixture
def start_orthanc() -> Callable[..., AbstractContextManager[Orthanc]]:
    """`running_orthanc`, for a test that needs one of its own."""
    if reason := why_absent():
        pytest.skip(reason)
    return running_orthanc


@pytest.fixture
def unused_port() -> int:
    """A loopback port where nobody listens."""
    return free_port()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A private key and the certificate that it signed itself, for 127.0.0.1."""
    folder = tmp_path_factory.mktemp("certificate")
    key, file = folder / "key.pem", folder / "certificate.pem"
    name = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *name]
    subprocess.run([*made, "-keyout", key, "-out", file], check=True, capture_output=True)
    return key, file
