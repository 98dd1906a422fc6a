"""`listen`, `watch`, `status` and `rerun` as a user meets them: real processes, real signals."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from click.testing import CliRunner, Result
from pydicom import dcmread

from ichclient.cli import main
from ichclient.delivery.outbox import Outbox
from ichclient.errors import NothingFound, PortInUse, StationError
from ichclient.process import RunningServer
from ichclient.station.folder import StationFolder
from ichclient.station.receive import server_context
from ichclient.station.state import Outcome, Phase, Station

from .conftest import KEY, Process, listening_node, until

pytestmark = pytest.mark.triton


def asked(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def few(make_series: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = make_series(
        tmp_path_factory.mktemp("few"), [9.0 * n for n in range(12)], PatientName="DOE^JANE"
    )
    return sorted(folder.iterdir())


def test_a_study_that_grows_after_its_result_names_its_predecessor(
    few: list[Path], start: Callable[..., Process], send: Callable[..., None],
    start_orthanc: Callable[..., Any], tmp_path: Path,
) -> None:  # fmt: skip
    with start_orthanc(tmp_path / "orthanc") as pacs:
        station = start("--store-to", pacs.dimse, "--quiet", 0.3)
        send(*few[:10])
        until(lambda: station.told("queued") == 1 and station.unsent() == 0, within_s=120)
        (first,) = map(dcmread, station.state.glob("results/*/dicom/report.dcm"))
        send(*few)  # ten again, and two that are late
        until(lambda: station.told("queued") == 2 and station.unsent() == 0, within_s=120)
        (second,) = map(dcmread, station.state.glob("results/*/dicom/report.dcm"))
        (study,) = station.studies()
        assert (study.phase, study.generation, study.images) == (Phase.JUDGED, 2, 12)
        named = second.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0]
        assert named.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == first.SOPInstanceUID

        rerun = asked("rerun", study.key, "--state", station.state)  # while it runs
        assert rerun.output == f"{study.key} waiting\n"
        station.until_told("judged", "generation=3")
        until(lambda: station.studies()[0].phase is Phase.JUDGED)
        arrivals = pacs.arrivals()
        assert len(arrivals) == len(set(arrivals))  # the same result is the same objects
        assert {first.SOPInstanceUID, second.SOPInstanceUID} <= set(arrivals)
        assert station.stop(signal.SIGINT) == 130

    shown = asked("status", "--state", station.state)
    assert study.key in shown.output
    assert "judged" in shown.output
    assert "DOE" not in shown.output
    assert "DOE^JANE" in asked("status", "--state", station.state, "--identity").output
    (values,) = json.loads(asked("status", "--state", station.state, "--json").output)
    assert (values["key"], values["phase"], values["generation"]) == (study.key, "judged", 3)
    assert values["deliveries"]["sent"] == len(set(arrivals))
    assert "DOE" not in json.dumps(values)
    assert asked("audit", "verify", "--state", station.state).exit_code == 0


def test_a_watched_folder_is_judged(
    few: list[Path], start: Callable[..., Process], tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    options = (folder, "--still", 0.2, "--look-every", 0.1, "--quiet", 0.5)
    station = start(*options, command="watch")
    for file in few:
        shutil.copy(file, folder)
    station.until_told("judged")
    until(lambda: [study.phase for study in station.studies()] == [Phase.JUDGED])
    assert station.stop() == 0
    assert station.text.splitlines()[-1].split()[1] == "stopped"
    assert len(list(folder.iterdir())) == len(few)


def test_a_station_that_is_stopped_while_it_judges_goes_on_later(
    few: list[Path], start: Callable[..., Process], send: Callable[..., None]
) -> None:
    station = start("--quiet", 0.1)
    send(*few)
    station.until_told("judging")
    assert station.stop() == 0
    (study,) = station.studies()
    assert study.phase in (Phase.WAITING, Phase.JUDGED)
    assert study.attempts == (0 if study.phase is Phase.WAITING else 1)


def test_an_embedded_server_is_kept_and_ends_with_its_station(
    few: list[Path], tmp_path: Path, unused_port: int, send: Callable[..., None], bundle: Path
) -> None:
    station = Process(
        tmp_path / "station", "listen", "--port", unused_port, "--quiet", 0.1, "--no-dicom",
        "--repository", bundle, until_it="listening",
    )  # fmt: skip
    try:
        send(*few)
        station.until_told("judged")
        servers = children_of(station.process.pid)
        assert any("tritonserver" in command for command in servers.values())
        asked("rerun", station.studies()[0].key, "--state", station.state)
        station.until_told("judged", "generation=2")
        assert children_of(station.process.pid) == servers
        assert station.stop() == 0
        until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in servers))
    finally:
        if station.process.poll() is None:
            station.kill()


def children_of(pid: int) -> dict[int, str]:
    """Every process below one, by its command line."""
    below = psutil.Process(pid).children(recursive=True)
    return {process.pid: " ".join(process.cmdline()) for process in below}


def test_a_second_station_and_a_taken_port_are_told(
    start: Callable[..., Process], unused_port: int, tmp_path: Path, served: RunningServer
) -> None:
    station = start()
    common = ("--port", unused_port, "--url", served.url)
    second = asked("listen", "--state", station.state, *common)
    assert second.exit_code == StationError.exit_code
    assert "Another process runs the station" in second.output
    other = asked("listen", "--state", tmp_path / "other", *common)
    assert other.exit_code == PortInUse.exit_code
    assert f"Port {unused_port}" in other.output
    assert station.stop() == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--peer", "CT1@nowhere"), "no IP address"),
        (("--store-to", "ftp:x"), "name a target"),
        (("--tls-cert", "a.pem"), "--tls-key"),
        (("--quiet", "60", "--longest-wait", "5"), "longest wait"),
        (("--store-to", "stow:http://127.0.0.1/d", "--no-dicom"), "--no-dicom"),
    ],
)
def test_options_that_cannot_be_used_are_told_before_anything_is_made(
    tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    told = asked("listen", "--state", tmp_path / "station", *arguments)
    assert told.exit_code == 2
    assert words in told.output
    assert not (tmp_path / "station").exists()


def test_a_station_that_is_not_there_has_no_status(tmp_path: Path) -> None:
    for command in (("status",), ("rerun", KEY)):
        told = asked(*command, "--state", tmp_path)
        assert told.exit_code == StationError.exit_code
        assert "no station at" in told.output


def test_a_study_that_is_not_there_cannot_be_rerun(folder: StationFolder, station: Station) -> None:
    told = asked("rerun", KEY, "--state", folder.path)
    assert told.exit_code == NothingFound.exit_code


def test_status_says_why_and_hostile_texts_stay_texts(
    folder: StationFolder, station: Station, receive: Callable[..., None]
) -> None:
    receive(KEY)
    receive("f" * 20, at=1)
    station.complete(100, 0, 0)
    station.begin(100)
    station.refused(KEY, "gap", "\x1b[31mThere is a gap. [gap]", 101)
    station.begin(102)
    decisions = {"high_sensitivity": "positive", "balanced": "negative"}
    station.judged("f" * 20, Outcome(0.4, decisions, None, None, None), 103)
    with station.together() as connection:
        Outbox(connection, folder.path).prepare()
    shown = asked("status", "--state", folder.path).output
    assert f"{KEY} [gap]" in shown
    assert "positive, negative" in shown
    assert "\x1b[31m" not in asked("status", "--state", folder.path, "--identity").output


def test_tls_keeps_out_whoever_has_no_certificate(
    station: Station, certificate: tuple[Path, Path], files: list[Path]
) -> None:
    key, file = certificate
    with listening_node(station, tls=server_context(file, key, file)) as node:
        trusted = ("+tls", str(key), str(file), "+cf", str(file))
        assert node.send(files[0]) != 0
        assert node.send(files[0], options=("+tla", "-ic")) != 0
        assert node.send(files[0], options=trusted) == 0
    assert len(node.kept) == 1
