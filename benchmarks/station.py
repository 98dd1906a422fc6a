"""A station at work -> seconds to a delivered result, what a report weighs, memory over studies.

    python -m benchmarks.station --json --out benchmarks/results/station.json

`ichclient listen` runs as a process of its own with its embedded server. Its scores are proven
equal to those of `ichclient infer` before anything is timed, and no object may come twice. How each
number is measured stands in `benchmarks/README.md`.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import click
import numpy as np
from pydicom import Dataset
from pydicom.uid import generate_uid

from benchmarks.conditions import conditions_of_run, load_average, now_utc
from benchmarks.errors import BenchmarkError, Disagreement
from benchmarks.memory import PeakMemory
from benchmarks.paired import timed_s
from benchmarks.station_process import listening
from benchmarks.station_traffic import (
    REPORT,
    Pacs,
    images_of,
    running_pacs,
    send,
    tiny_images,
)
from benchmarks.work import TOLERANCE_SCORE
from benchmarks.written import hand_over
from ichclient.connect import ServerOptions
from ichclient.ending_cli import told
from ichclient.infer import result_from_path
from ichclient.report.redraw import report_from_file
from ichclient.station.folder import StationFolder
from ichclient.station.state import Phase, Station, StationStudy
from ichclient.station.status import studies_of

_PACKAGES = (
    "ich-triton", "highdicom", "numpy", "openvino", "pydicom", "pynetdicom", "nvidia-pytriton",
)  # fmt: skip
_FILE = click.Path(dir_okay=False, path_type=Path)
_FOLDER = click.Path(exists=True, path_type=Path)
Say = Callable[[str], object]


@dataclass(frozen=True)
class Workload:
    """What is sent: `waiting` studies at once in each of `rounds`, `memory_studies` tiny ones."""

    study: Path
    waiting: tuple[int, ...]
    rounds: int
    quiet_s: float
    memory_studies: int
    look_every: int

    def __post_init__(self) -> None:
        """Refuse a workload without work."""
        if min(self.rounds, self.look_every, *self.waiting) < 1 or self.memory_studies < 0:
            raise ValueError(f"not a workload: {self}")


def measured(workload: Workload, say: Say = lambda _: None) -> dict[str, Any]:
    """Prove, burn in, measure; the document that is stored."""
    date, load_start = now_utc(), load_average()
    images = images_of(workload.study)
    with tempfile.TemporaryDirectory(prefix="ich-station-") as name, running_pacs() as pacs:
        root = Path(name)
        say("One study by ichclient infer, and one by the station")
        expected = result_from_path(workload.study, ServerOptions()).study_score
        with listening(root / "station", workload.quiet_s, pacs.port) as listener:
            _judged(listener.port, pacs, root / "station", images, 1)  # burn-in: the server starts
            _prove(root / "station", expected)
            latency = {}
            for count in workload.waiting:
                say(f"{count} studies waiting")
                rounds = [
                    _judged(listener.port, pacs, root / "station", images, count)
                    for _ in range(workload.rounds)
                ]
                latency[str(count)] = _latency(rounds, workload.quiet_s)
            _prove(root / "station", expected)
            report = _report(root / "station", workload)
        memory = _memory(root / "memory", pacs, workload, say) if workload.memory_studies else None
        pacs.refuse_doubles()
    return {
        "benchmark": "station",
        "measurements": {"latency": latency, "report": report, "memory": memory},
        "conditions": {
            **conditions_of_run(date, load_start, _PACKAGES),
            "slices": len(images),
            "matrix": [int(images[0].Rows), int(images[0].Columns)],
            "quiet_s": workload.quiet_s,
            "rounds": workload.rounds,
            "server": "embedded",
            "target": "C-STORE on the loopback address, which keeps nothing",
        },
    }


@dataclass(frozen=True)
class _Round:
    """Of each study: when its last image was answered, and when report and last object came."""

    answered: Mapping[str, float]
    reported: Mapping[str, float]
    delivered: Mapping[str, float]


def _judged(port: int, pacs: Pacs, state: Path, images: Sequence[Dataset], count: int) -> _Round:
    """Send so many studies at once, and wait until all that was made of them has come."""
    studies = [str(generate_uid()) for _ in range(count)]
    answered = send(port, images, studies)
    pacs.await_reports(studies)
    _await_delivered(state)
    of_these = [one for one in pacs.arrivals if one.study in answered]
    return _Round(
        answered,
        {one.study: one.at for one in of_these if one.SOPClassUID == REPORT},
        {study: max(one.at for one in of_these if one.study == study) for study in studies},
    )


def _latency(rounds: Sequence[_Round], quiet_s: float) -> dict[str, Any]:
    """Seconds after the last image and the quiet time; of each round the first and last study."""
    reported = [
        [one.reported[study] - one.answered[study] - quiet_s for study in one.answered]
        for one in rounds
    ]
    delivered = [
        [one.delivered[study] - one.answered[study] - quiet_s for study in one.answered]
        for one in rounds
    ]
    # The queue is empty at first, so a round ends when the last object of the last study came.
    wall = [max(one.delivered.values()) - min(one.answered.values()) - quiet_s for one in rounds]
    count = len(rounds[0].answered)
    return {
        "report_s": _spread(reported),
        "last_object_s": _spread(delivered),
        "seconds_per_study": round(median(wall) / count, 3),
        "runs_s": [[round(seconds, 3) for seconds in one] for one in delivered],
    }


def _spread(rounds: Sequence[Sequence[float]]) -> dict[str, float]:
    return {
        "first": round(median(min(one) for one in rounds), 3),
        "median": round(median(median(one) for one in rounds), 3),
        "last": round(median(max(one) for one in rounds), 3),
    }


def _report(state: Path, workload: Workload) -> dict[str, Any]:
    """What lies in the folder of a result, and how long its page takes to draw."""
    study = _studies(state)[0]
    folder = StationFolder(state).result_of(study.key)
    images = StationFolder(state).images_of(study.key)
    runs = [timed_s(lambda: report_from_file(folder, images)) for _ in range(workload.rounds + 1)]
    return {
        "page_bytes": (folder / "report.html").stat().st_size,
        "objects_bytes": sum(path.stat().st_size for path in (folder / "dicom").iterdir()),
        "folder_bytes": sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
        "page_drawn_s": round(median(runs[1:]), 3),
    }


def _memory(state: Path, pacs: Pacs, workload: Workload, say: Say) -> dict[str, Any]:
    """PSS of the listener, and of all below it, after every so many tiny studies."""
    images, looks = tiny_images(), list[dict[str, float]]()
    done = 0
    with listening(state, 0.2, pacs.port) as listener:
        while done < workload.memory_studies:
            count = min(workload.look_every, workload.memory_studies - done)
            _judged(listener.port, pacs, state, images, count)
            done += count
            look = PeakMemory(listener.pid)
            look.sample()
            looks.append(
                {
                    "studies": done,
                    "listener_mib": round(look.own_mib, 1),
                    "below_mib": round(look.descendants_mib, 1),
                }
            )
            say(f"{done} of {workload.memory_studies} tiny studies: {look.own_mib:.0f} MiB")
        outcomes = {study.phase for study in _studies(state)}
    if outcomes != {Phase.JUDGED}:
        raise BenchmarkError(f"Tiny studies ended as {', '.join(sorted(outcomes))}.")
    second = looks[len(looks) // 2 :]
    grows = None
    if len(second) > 1:
        slope = np.polyfit(
            [one["studies"] for one in second], [one["listener_mib"] for one in second], 1
        )[0]
        grows = round(100 * float(slope), 3)
    return {
        "study": "10 made slices of 32 x 32 pixels",
        "looks": looks,
        "second_half_mib_per_100_studies": grows,
    }


def _await_delivered(state: Path) -> None:
    deadline = time.monotonic() + 600
    while any(one.deliveries.unsent for one in studies_of(state)):
        if time.monotonic() > deadline:
            raise BenchmarkError("Objects are still waiting after 10 minutes.")
        time.sleep(0.02)


def _studies(state: Path) -> tuple[StationStudy, ...]:
    with Station.reading(StationFolder.found(state)) as station:
        return station.studies()


def _prove(state: Path, expected: float) -> None:
    """Every study must have the score that it has without a station."""
    for study in _studies(state):
        score = study.study_score
        if study.phase is not Phase.JUDGED or score is None:
            raise BenchmarkError(f"A study ended as {study.phase} [{study.reason_code}].")
        if abs(score - expected) > TOLERANCE_SCORE:
            raise Disagreement(
                f"The station's score {score:.4f} is not the {expected:.4f} of ichclient infer, "
                "so no numbers are given."
            )


def print_table(document: Mapping[str, Any]) -> None:
    """The medians for people, on stdout."""
    from rich.console import Console
    from rich.table import Table

    found = document["measurements"]
    table = Table("waiting", "first report", "last report", "last object", "a study", box=None)
    for count, row in found["latency"].items():
        table.add_row(
            count, f"{row['report_s']['first']:.1f} s", f"{row['report_s']['last']:.1f} s",
            f"{row['last_object_s']['last']:.1f} s", f"{row['seconds_per_study']:.2f} s",
        )  # fmt: skip
    console = Console(highlight=False)
    console.print(table)
    report = found["report"]
    console.print(f"report.html: {report['page_bytes'] >> 10} KiB, {report['page_drawn_s']:.1f} s")
    if found["memory"]:
        last = found["memory"]["looks"][-1]
        console.print(f"{last['studies']} studies: {last['listener_mib']:.0f} MiB")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--study", type=_FOLDER, default=Path("examples/phantom-sdh"), show_default=True,
              help="What is sent, each time as another study.")  # fmt: skip
@click.option("--waiting", type=click.IntRange(1), multiple=True, default=(1, 20),
              show_default=True, help="Studies that are sent at once.")  # fmt: skip
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True)
@click.option("--quiet", "quiet_s", type=click.FloatRange(0.1), default=2.0, show_default=True,
              help="Quiet time of the station, which is taken off.")  # fmt: skip
@click.option("--memory-studies", type=click.IntRange(0), default=500, show_default=True)
@click.option("--look-every", type=click.IntRange(1), default=25, show_default=True,
              help="Look at the memory after so many studies.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout instead of a table.")
@click.option("--out", type=_FILE, help="Write the JSON here.")
@told
def main(as_json: bool, out: Path | None, **work: Any) -> None:
    """Measure how soon a station delivers, and what it needs."""
    document = measured(Workload(**work), say=lambda text: click.echo(text, err=True))
    hand_over(document, print_table, as_json=as_json, out=out)


if __name__ == "__main__":
    main()
