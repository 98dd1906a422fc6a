"""A watched folder: what has come to rest and is whole is taken once, and nothing is changed."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from ichclient.audit.keyed import Pseudonyms
from ichclient.audit.log import AuditLog
from ichclient.errors import StationError
from ichclient.station.events import Events
from ichclient.station.shelf import Room, Shelf
from ichclient.station.state import Station
from ichclient.station.watch import Watch, WatchOptions, refuse_folder

from .conftest import ROOM, dcmtk, listening_node


class Watched:
    """A folder, a watch of it, and a clock of the test's own."""

    def __init__(self, station: Station, folder: Path, room: Room = ROOM, **options: Any) -> None:
        self.folder, self.station, self.lines = folder, station, list[str]()
        self.now = 0.0
        folder.mkdir(exist_ok=True)
        events = Events(AuditLog(station.folder.path), self.lines.append)
        shelf = Shelf(station, Pseudonyms.of_folder(station.folder.path), room, lambda: 0.0)
        given = WatchOptions(folder, **{"still_s": 5.0, **options})
        self.watch = Watch(given, station, shelf, events, clock=lambda: self.now)

    def look(self, *after_s: float) -> int:
        """Look after each of these times; how many images there are then."""
        for seconds in after_s:
            self.now += seconds
            self.watch.look()
        return sum(study.images for study in self.station.studies())


@pytest.fixture
def watched(station: Station, tmp_path: Path) -> Watched:
    return Watched(station, tmp_path / "in")


def test_files_in_any_subfolder_are_taken_when_they_stand_still(
    watched: Watched, files: list[Path]
) -> None:
    for number, file in enumerate(files):
        (watched.folder / f"a{number}").mkdir()
        shutil.copy(file, watched.folder / f"a{number}" / "IM")
    assert watched.look(0, 4.9) == 0
    assert watched.look(0.1) == 4
    kept = {dcmread(path).SOPInstanceUID for path in watched.station.folder.received.glob("*/*")}
    assert kept == {dcmread(path).SOPInstanceUID for path in files}
    assert len(list(watched.folder.rglob("IM"))) == 4
    assert list(watched.station.folder.incoming.iterdir()) == []
    assert any("watched images=4" in line for line in watched.lines)


def test_a_file_that_grows_is_left_until_it_is_whole(watched: Watched, files: list[Path]) -> None:
    content = files[0].read_bytes()
    path = watched.folder / "IM"
    path.write_bytes(content[: len(content) // 2])
    assert watched.look(0, 5, 5, 100) == 0  # it stands still, and lacks pixels
    path.write_bytes(content)
    assert watched.look(1) == 0
    assert watched.look(5) == 1


@pytest.mark.parametrize("tool", ["dcmcjpls", "dcmcrle"])
def test_a_packed_file_is_whole_with_its_end(
    watched: Watched, files: list[Path], tool: str, tmp_path: Path
) -> None:
    subprocess.run([dcmtk(tool), files[0], tmp_path / "packed"], check=True)
    content = (tmp_path / "packed").read_bytes()
    (watched.folder / "IM").write_bytes(content[:-20])
    assert watched.look(0, 5) == 0
    (watched.folder / "IM").write_bytes(content)
    assert watched.look(0, 5) == 1


def test_what_was_taken_is_not_taken_again_not_even_after_a_restart(
    watched: Watched, files: list[Path], station: Station
) -> None:
    shutil.copy(files[0], watched.folder)
    assert watched.look(0, 5) == 1
    (study,) = station.studies()
    station.forget(study.key)  # as retention does
    again = Watched(station, watched.folder)
    assert again.look(0, 5, 5) == 0
    shutil.copy(files[1], watched.folder)
    assert again.look(0, 5) == 1


def test_the_same_image_twice_is_one_and_other_bytes_are_told(
    watched: Watched, files: list[Path]
) -> None:
    shutil.copy(files[0], watched.folder / "a")
    shutil.copy(files[0], watched.folder / "b")
    changed = dcmread(files[0])
    changed.PixelData = bytes(len(changed.PixelData))
    changed.save_as(watched.folder / "c")
    assert watched.look(0, 5) == 1
    line = next(line for line in watched.lines if " watched " in line)
    assert all(word in line for word in ("images=1", "there_already=1", "other_bytes=1"))
    (kept,) = watched.station.folder.received.glob("*/*")
    assert dcmread(kept) == dcmread(files[0])


def test_an_image_is_the_same_over_the_network_and_from_a_folder(
    watched: Watched, files: list[Path], station: Station
) -> None:
    shutil.copy(files[0], watched.folder / "a")
    assert watched.look(0, 5) == 1
    with listening_node(station) as node:
        assert node.send(files[0]) == 0
    assert station.studies()[0].images == 1


def test_other_files_links_and_hidden_files_are_left_alone(
    watched: Watched, files: list[Path], make_slice: Callable[..., Any], tmp_path: Path
) -> None:
    (watched.folder / "letter.txt").write_text("Dear colleague")
    make_slice(watched.folder / "mr.dcm", SOPClassUID="1.2.840.10008.5.1.4.1.1.4", Modality="MR")
    shutil.copy(files[0], watched.folder / ".IM.part")
    (watched.folder / "link").symlink_to(files[1])
    (watched.folder / "folder").symlink_to(files[1].parent)
    os.mkfifo(watched.folder / "pipe")
    assert watched.look(0, 5, 5) == 0
    assert sum("watched" in line for line in watched.lines) == 1
    assert len(list(watched.folder.iterdir())) == 6


def test_only_what_is_kept_is_removed_and_only_if_asked(
    station: Station, files: list[Path], tmp_path: Path
) -> None:
    watched = Watched(station, tmp_path / "in", remove=True)
    shutil.copy(files[0], watched.folder / "IM")
    (watched.folder / "letter.txt").write_text("Dear colleague")
    assert watched.look(0, 5) == 1
    assert [path.name for path in watched.folder.iterdir()] == ["letter.txt"]


def test_a_full_station_takes_the_rest_later(
    station: Station, files: list[Path], tmp_path: Path
) -> None:
    watched = Watched(station, tmp_path / "in", Room(max_received=3000, keep_free=0))
    for file in files:
        shutil.copy(file, watched.folder)
    assert watched.look(0, 5, 5, 5) == 2
    assert sum("no_room" in line for line in watched.lines) == 1
    assert Watched(station, watched.folder).look(0, 5) == 4


def test_a_share_that_is_away_is_not_taken_for_an_emptied_folder(
    watched: Watched, files: list[Path], station: Station
) -> None:
    shutil.copy(files[0], watched.folder)
    assert watched.look(0, 5) == 1
    away = watched.folder.rename(watched.folder.with_name("away"))
    with pytest.raises(OSError, match="No such file"):
        watched.look(5)
    watched.folder.mkdir()  # its mount point
    watched.look(5)
    assert len(station.seen()) == 1
    watched.folder.rmdir()
    away.rename(watched.folder)
    assert watched.look(5) == 1


def test_a_folder_that_would_watch_itself_is_refused(tmp_path: Path) -> None:
    for folder, state in [(tmp_path, tmp_path / "s"), (tmp_path / "in", tmp_path)]:
        folder.mkdir(exist_ok=True)
        with pytest.raises(StationError, match="within each other"):
            refuse_folder(folder, state)
    with pytest.raises(StationError, match="no folder"):
        refuse_folder(tmp_path / "none", tmp_path / "s")
