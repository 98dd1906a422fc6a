"""Stations for these tests: a folder, its state, images that came, and a node that listens."""

from __future__ import annotations

import shutil
import subprocess
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
from ichclient.station.events import Events
from ichclient.station.folder import StationFolder
from ichclient.station.peers import Peers
from ichclient.station.receive import Receiver, accepted_contexts
from ichclient.station.scp import NodeOptions, listening
from ichclient.station.shelf import Room, Shelf
from ichclient.station.state import Identity, Station, StationImage

KEY = "0123456789abcdef0123"
ROOM = Room(keep_free=0)


def image_of(key: str = KEY, number: int = 1, at: float = 0.0, sha256: str = "") -> StationImage:
    """An image of a study, with a content of its own unless `sha256` names one."""
    file = f"{number:032x}.dcm"
    return StationImage(key, f"1.2.3.{number}", file, 100, sha256 or f"{number:064x}", at, "CT")


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
        path = shutil.which(program)
        if path is None:
            pytest.skip("DCMTK is absent: apt-get install --no-install-recommends dcmtk")
        command = [path, "-aec", called, *options, "127.0.0.1", str(self.port), *map(str, files)]
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
def association(node: Node, called: str = "ICHCLIENT", calling: str = "CT1") -> Iterator[Any]:
    """An association of pynetdicom's with the node, aborted in the end if it is open."""
    from pynetdicom import AE

    entity = AE(calling)
    entity.add_requested_context(CTImageStorage)
    one = entity.associate("127.0.0.1", node.port, ae_title=called)
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
    with association(node) as one:
        statuses = [int(one.send_c_store(dcmread(file)).Status) for file in files]
        one.release()
    return statuses


def told(node: Node, *words: str) -> bool:
    """Whether one line has all these words."""
    return any(all(word in line for word in words) for line in node.lines)
