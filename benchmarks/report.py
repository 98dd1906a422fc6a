"""A judged series -> what its files cost: seconds, the share of decoding again, and bytes.

    python -m benchmarks.report --study STUDY --json --out benchmarks/results/report.json

The series is judged by the embedded server, once for each length. What the page shows is proven
before anything is timed. How each number is measured stands in `benchmarks/README.md`.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import click

from benchmarks.conditions import conditions_of_run, load_average, now_utc
from benchmarks.errors import Disagreement
from benchmarks.intake_files import SYNTAXES, slices_from_study, write_series
from benchmarks.paired import timed_s
from benchmarks.written import hand_over
from ichclient.connect import ServerOptions, proven_server
from ichclient.ending_cli import told
from ichclient.held import HeldSlices
from ichclient.hounsfield import hu_of_slice, hu_slices_from_series
from ichclient.infer import Study, result_from_study, study_from_path
from ichclient.masks import masks_from_bytes
from ichclient.report.pictures import kept_slices
from ichclient.result import MASKS_FILE, REPORT_FILE, Result
from ichclient.result_files import files_from_judged
from ichclient.stream import Judged

_PACKAGES = (
    "ich-triton", "jinja2", "numpy", "pillow", "pydicom", "pylibjpeg", "pylibjpeg-openjpeg",
    "python-gdcm",
)  # fmt: skip
_WORKERS = 2  # as many as the page is drawn with
_FILE = click.Path(dir_okay=False, path_type=Path)
_FOLDER = click.Path(exists=True, path_type=Path)
Say = Callable[[str], object]


@dataclass(frozen=True)
class Workload:
    """Which series are reported, and how often: `rounds` counted ones of each."""

    study: Path | None
    lengths: tuple[int, ...]
    syntaxes: tuple[str, ...]
    rounds: int

    def __post_init__(self) -> None:
        """Refuse a workload without work."""
        if not self.syntaxes or min(self.rounds, *self.lengths) < 1:
            raise ValueError(f"not a workload: {self}")


def measured(workload: Workload, say: Say = lambda _: None) -> dict[str, Any]:
    """Judge, prove, burn in, measure; the document that is stored."""
    date, load_start = now_utc(), load_average()
    slices = slices_from_study(workload.study)
    measurements: dict[str, Any] = {}
    with (
        tempfile.TemporaryDirectory(prefix="ich-report-") as name,
        proven_server(ServerOptions()) as server,
    ):
        for length in workload.lengths:
            answer: tuple[Result, Judged] | None = None
            for syntax in workload.syntaxes:
                folder = write_series(Path(name) / f"{syntax}{length}", slices, syntax, length)
                study = study_from_path(folder)
                if answer is None:
                    say(f"Judging {length} slices")
                    answer = result_from_study(study, server, lambda *_: None, time.monotonic())
                say(f"Reporting {length} slices, {syntax}")
                row = _reported(study, *answer, workload.rounds)
                measurements.setdefault(str(length), {})[syntax] = row
    return {
        "benchmark": "report",
        "measurements": measurements,
        "conditions": {
            **conditions_of_run(date, load_start, _PACKAGES),
            "slices": "made" if workload.study is None else f"real, {len(slices)} slices",
            "matrix": [int(slices[0].Rows), int(slices[0].Columns)],
            "rounds": workload.rounds,
            "workers": _WORKERS,
        },
    }


def _reported(study: Study, result: Result, judged: Judged, rounds: int) -> dict[str, Any]:
    """Seconds and bytes of all files of one result; the first round is not counted."""
    series, kept = study.series, kept_slices(len(result.slices), result.top_slices)
    held = HeldSlices()
    for _ in held.as_they_pass(hu_slices_from_series(series, book=study.book)):
        pass
    written = _proven(study, result, judged, held)

    def files() -> None:
        files_from_judged(series, study.book, judged, result, held)

    def again() -> None:
        files_from_judged(series, study.book, judged, result)

    def decoded() -> None:
        with ThreadPoolExecutor(_WORKERS) as pool:
            for _ in pool.map(lambda index: hu_of_slice(series, index) is None, kept):
                pass

    ways = {"files": files, "files_decoded_again": again, "decode": decoded}
    runs: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for name, work in ways.items():
            seconds = timed_s(work)
            if turn:
                runs[name].append(seconds)
    return {
        "slices": len(result.slices),
        "pictures": len(kept),
        **{f"{name}_s": round(median(seconds), 4) for name, seconds in runs.items()},
        "decode_share": round(
            median(a / b for a, b in zip(runs["decode"], runs["files_decoded_again"], strict=True)),
            3,
        ),
        "runs_s": {name: [round(one, 4) for one in seconds] for name, seconds in runs.items()},
        "bytes": {name: len(content) for name, content in written.items()},
    }


def _proven(study: Study, result: Result, judged: Judged, held: HeldSlices) -> dict[str, bytes]:
    """The files: the same from held slices, with every slice on the page and masks to be read."""
    told, first = files_from_judged(study.series, study.book, judged, result)
    _, second = files_from_judged(study.series, study.book, judged, result, held)
    if first != second:
        raise Disagreement("The same result gave other files.")
    masks_from_bytes(first[MASKS_FILE], str(told.masks_sha256), len(result.slices))
    shown = len(re.findall(rb'<li id="slice-\d+"', first[REPORT_FILE]))
    expected = len(kept_slices(len(result.slices), result.top_slices))
    if shown != expected:
        raise Disagreement(f"The page shows {shown} slices, not {expected}.")
    return second


def print_table(document: Mapping[str, Any]) -> None:
    """The medians for people, on stdout."""
    from rich.console import Console
    from rich.table import Table

    headings = ("slices", "syntax", "files", "decoded again", "of it decoding", "report.html")
    table = Table(*headings, box=None, pad_edge=False)
    for length, rows in document["measurements"].items():
        for syntax, row in rows.items():
            table.add_row(
                length, syntax, f"{row['files_s']:.2f} s",
                f"{row['files_decoded_again_s']:.2f} s", f"{100 * row['decode_share']:.0f} %",
                f"{row['bytes'][REPORT_FILE] / 1e6:.1f} MB",
            )  # fmt: skip
    Console(highlight=False).print(table)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--study", type=_FOLDER, help="Take slices from here; made ones if not given.")
@click.option("--lengths", type=click.IntRange(16), multiple=True, default=(30, 300),
              show_default=True, help="Slices of the series that are reported.")  # fmt: skip
@click.option("--syntaxes", type=click.Choice(list(SYNTAXES)), multiple=True,
              default=tuple(SYNTAXES), show_default=True)  # fmt: skip
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout instead of a table.")
@click.option("--out", type=_FILE, help="Write the JSON here.")
@told
def main(as_json: bool, out: Path | None, **work: Any) -> None:
    """Measure the seconds and bytes of a result's files."""
    document = measured(Workload(**work), say=lambda text: click.echo(text, err=True))
    hand_over(document, print_table, as_json=as_json, out=out)


if __name__ == "__main__":
    main()
