"""Stations for these tests: a folder, its state, images that came, and a node that listens."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.uid import CTImageStorage

from ichclient.audit.keyed import Pseudonyms
from ichclient.audit.log import AuditLog
from ichclient.process import RunningServer
from ichclient.station.events import Events
from ichclient.station.folder import StationFolder
from ichclient.station.peers import Peers
from ichclient.station.receive import Receiver, accepted_contexts
from ichclient.station.scp import NodeOptions, listening
from ichclient.station.shelf import Room, Shelf
from ichclient.station.state import Identity, Station, StationImage, StationStudy
from ichclient.station.status import studies_of

KEY = "0123456789abcdef0123"
ROOM = Room(keep_free=0)


def image_of(key: str = KEY, number: int = 1, at: float = 0.0, sha256: str = "") -> StationImage:
    """An image of a study, with a content of its own unless `sha256` names one."""
    file = f"{number:032x}.dcm"
    return StationImage(key, f"1.2.3.{number}", file, 100, sha256 or f"{number:064x}", at, "CT")


def dcmtk(program: str) -> str:
    """The path of a program of DCMTK's."""
    path = shutil.which(program)
    if path is None:
        pytest.skip("DCMTK is absent: apt-get install --no-install-recommends dcmtk")
    return path


def until(true: Callable[[], object], within_s: float = 60.0) -> None:
    """Wait until something is true."""
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, "it never became true"
        time.sleep(0.02)


@pytest.fixture
def folder(tmp_path: Path) -> StationFolder:
    return StationFolder.made(tmp_path / "station")


@pytest.fixture
def station(folder: StationFolder) -> Iterator[Station]:
    with Station(folder) as one:
        yield one


@pytest.fixture
def receive(station: Station) -> Callable[..., None]:
    """Have images come: `receive(key, first, last, at)`."""

    def images(key: str = KEY, first: int = 1, last: int = 1, at: float = 0.0) -> None:
        for number in range(first, last + 1):
            identity = Identity(f"1.9.{key}", "DOE^JANE", "P1")
            station.received(image_of(key, number, at), identity)

    return images


@dataclass
class Node:
    """A node that listens, and what it told."""

    port: int
    station: Station
    shelf: Shelf
    lines: list[str]

    def run(
        self, program: str, *files: Path, called: str = "ICHCLIENT", options: tuple[str, ...] = ()
    ) -> int:
        """Run a program of DCMTK's against the node; its exit code."""
        command = [
            dcmtk(program),
            "-aec",
            called,
            *options,
            "127.0.0.1",
            str(self.port),
            *map(str, files),
        ]
        return subprocess.run(command, capture_output=True, timeout=120, check=False).returncode

    def send(self, *files: Path, options: tuple[str, ...] = ()) -> int:
        return self.run("storescu", *files, options=options)

    @property
    def kept(self) -> list[Path]:
        return sorted(self.station.folder.received.glob("*/*"))

    @property
    def half(self) -> list[Path]:
        return list(self.station.folder.incoming.iterdir())


@contextmanager
def listening_node(
    station: Station, room: Room = ROOM, peers: Peers | None = None, **options: Any
) -> Iterator[Node]:
    path, lines = station.folder.path, list[str]()
    shelf = Shelf(station, Pseudonyms.of_folder(path), room, time.time)
    receiver = Receiver(shelf, peers or Peers(), Events(AuditLog(path), lines.append))
    given = {"ae_title": "ICHCLIENT", "port": 0, "address": "127.0.0.1", **options}
    with listening(NodeOptions(**given), accepted_contexts(), receiver) as port:
        yield Node(port, station, shelf, lines)


@pytest.fixture
def node(station: Station) -> Iterator[Node]:
    """A node on a free port of this machine."""
    with listening_node(station) as one:
        yield one


@pytest.fixture(scope="session")
def files(make_series: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = make_series(tmp_path_factory.mktemp("files"), [0.0, 5.0, 10.0, 15.0])
    return sorted(folder.iterdir())


@contextmanager
def association(port: int, called: str = "ICHCLIENT", calling: str = "CT1") -> Iterator[Any]:
    """An association of pynetdicom's with that port, aborted in the end if it is open."""
    from pynetdicom import AE

    entity = AE(calling)
    entity.add_requested_context(CTImageStorage)
    one = entity.associate("127.0.0.1", port, ae_title=called)
    connected = one.dul.socket.socket
    try:
        yield one
    finally:
        if one.is_established:
            one.abort()
        if connected is not None:
            connected.close()  # pynetdicom does not, where the node was quicker


def sent(node: Node, *files: Path) -> list[int]:
    """The status that each file was answered with, in one association."""
    with association(node.port) as one:
        statuses = [int(one.send_c_store(dcmread(file)).Status) for file in files]
        one.release()
    return statuses


def told(node: Node, *words: str) -> bool:
    """Whether one line has all these words."""
    return any(all(word in line for word in words) for line in node.lines)


class Process:
    """A station of its own: `ichclient listen` or `watch`, with its log in a file."""

    def __init__(
        self, state: Path, command: str, *options: object, until_it: str = "started"
    ) -> None:
        self.state = state
        self.log = state.with_suffix(".log")
        arguments = [command, *map(str, options), "--state", str(state), "--keep-free-gib", "0"]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        self._before = self.log.read_text() if self.log.exists() else ""
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ichclient", *arguments], env=environment,
                stdout=subprocess.DEVNULL, stderr=log,
            )  # fmt: skip
        try:
            self.until_told(until_it)
        except BaseException:
            self.kill()
            raise

    @property
    def text(self) -> str:
        """What this process told, not one before it in the same folder."""
        return self.log.read_text().removeprefix(self._before)

    def told(self, *words: str) -> int:
        """How many lines have all these words."""
        return sum(all(word in line for word in words) for line in self.text.splitlines())

    def until_told(self, *words: str, times: int = 1) -> None:
        def told() -> bool:
            assert self.process.poll() is None or self.told(*words) >= times, self.text
            return self.told(*words) >= times

        until(told, within_s=120)

    def kill(self) -> None:
        """As a power cut would."""
        self.process.kill()
        self.process.wait()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """As its host would; the exit code."""
        self.process.send_signal(number)
        return self.process.wait(120)

    def studies(self) -> tuple[StationStudy, ...]:
        with Station.reading(StationFolder.found(self.state)) as station:
            return station.studies()

    def unsent(self) -> int:
        return sum(one.deliveries.unsent for one in studies_of(self.state))


@pytest.fixture
def start(
    tmp_path: Path, unused_port: int, served: RunningServer, bundle: Path
) -> Iterator[Callable[..., Process]]:
    """Start `ichclient listen` on `unused_port`, judging on the session's server, or `watch`."""
    started: list[Process] = []

    def process(*options: object, command: str = "listen", until_it: str = "") -> Process:
        own = ["--port", unused_port] if command == "listen" else []
        if "--quiet" not in options:
            own += ["--quiet", 1]
        one = Process(
            tmp_path / "station", command, *options, *own, "--url", served.url,
            "--repository", bundle,
            until_it=until_it or ("listening" if command == "listen" else "started"),
        )  # fmt: skip
        started.append(one)
        return one

    yield process
    for one in started:
        if one.process.poll() is None:
            one.kill()


@pytest.fixture
def send(unused_port: int) -> Callable[..., None]:
    """Send images to `unused_port`, each answered with success."""

    def images(*files: Path, calling: str = "CT1", release: bool = True) -> None:
        with association(unused_port, calling=calling) as one:
            assert one.is_established
            for file in files:
                assert one.send_c_store(dcmread(file)).Status == 0
            if release:
                one.release()

    return images
