"""kill -9 at any point: no image is lost, no study is lost, no delivery is repeated."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ichclient.station.folder import StationFolder
from ichclient.station.state import Phase, Station

from .conftest import Process, until

pytestmark = pytest.mark.triton


def result_is_written(station: Process, _: Any) -> bool:
    return any(station.state.glob("results/*/result.json"))


KILLS: dict[str, Callable[[Process, Any], object]] = {
    "received": lambda station, _: station.studies(),
    "judging": lambda station, _: station.told("judging"),
    "result": result_is_written,
    "delivering": lambda _, orthanc: orthanc.arrivals(),
}


@pytest.fixture(scope="module")
def few(make_series: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = make_series(tmp_path_factory.mktemp("few"), [9.0 * n for n in range(10)])
    return sorted(folder.iterdir())


@pytest.fixture
def pacs(start_orthanc: Callable[..., Any], tmp_path: Path) -> Iterator[Any]:
    with start_orthanc(tmp_path / "orthanc") as one:
        yield one


@pytest.mark.parametrize("point", KILLS)
def test_a_killed_station_goes_on_where_it_was(
    point: str, few: list[Path], pacs: Any, start: Callable[..., Process],
    send: Callable[..., None],
) -> None:  # fmt: skip
    options = ("--store-to", pacs.dimse, "--quiet", 600 if point == "received" else 0.3)
    station = start(*options)
    if point == "received":
        send(few[0], release=False)
    else:
        send(*few)
    until(lambda: KILLS[point](station, pacs))
    station.kill()
    left = [path for path in (station.state / "received").glob("*/*") if path.suffix == ".dcm"]
    assert len(left) >= (1 if point == "received" else len(few))

    again = start(*options)
    if point == "received":
        send(*few)  # whoever was answered nothing sends again
        with Station(StationFolder.found(again.state)) as state:
            state.rerun(state.studies()[0].key, time.time())  # no need to wait for the quiet time
    until(lambda: [study.phase for study in again.studies()] == [Phase.JUDGED], within_s=120)
    until(lambda: again.unsent() == 0)
    assert again.stop() == 0
    (study,) = again.studies()
    assert study.images == len(few)
    written = list(again.state.glob("results/*/dicom/*.dcm"))
    arrivals = pacs.arrivals()
    assert len(arrivals) == len(set(arrivals)) == len(written)
    assert list((again.state / "incoming").iterdir()) == []
