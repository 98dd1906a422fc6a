"""Stations for these tests: a folder, its state, and images that came."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ichclient.station.folder import StationFolder
from ichclient.station.state import Identity, Station, StationImage

KEY = "0123456789abcdef0123"


def image_of(key: str = KEY, number: int = 1, at: float = 0.0, sha256: str = "") -> StationImage:
    """An image of a study, with a content of its own unless `sha256` names one."""
    file = f"{number:032x}.dcm"
    return StationImage(key, f"1.2.3.{number}", file, 100, sha256 or f"{number:064x}", at, "CT")


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
