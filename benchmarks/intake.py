"""DICOM files -> what intake costs: header scan, decoding, memory, against pydicom used plainly.

    python -m benchmarks.intake --study STUDY --json --out benchmarks/results/intake.json

Headers and Hounsfield units are proven equal to pydicom's before anything is timed. The ways take
turns on the same files in one run. How each number is measured stands in `benchmarks/README.md`.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import click
import numpy as np
from pydicom import dcmread

from benchmarks.conditions import conditions_of_run, load_average, now_utc
from benchmarks.errors import BenchmarkError, Disagreement
from benchmarks.intake_files import SYNTAXES, slices_from_study, write_headers, write_series
from benchmarks.memory import peak_memory
from benchmarks.paired import timed_s
from benchmarks.written import hand_over
from ichclient.attributes import KEYWORDS
from ichclient.dicom import headers_from_path
from ichclient.ending_cli import told
from ichclient.hounsfield import AIR_HU, hu_slices_from_series
from ichclient.series import Series, chosen_series, series_from_scan

_PACKAGES = (
    "ich-triton", "numpy", "pydicom", "pyjpegls", "pylibjpeg", "pylibjpeg-openjpeg", "python-gdcm",
)  # fmt: skip
_FILE = click.Path(dir_okay=False, path_type=Path)
_FOLDER = click.Path(exists=True, path_type=Path)
_WORKERS = (1, 2)
Say = Callable[[str], object]


@dataclass(frozen=True)
class Workload:
    """What is read, and how often: `rounds` turns of every way."""

    study: Path | None
    files: int
    slices: int
    lengths: tuple[int, ...]
    rounds: int

    def __post_init__(self) -> None:
        """Refuse a workload without work."""
        if min(self.files, self.slices, self.rounds, *self.lengths) < 1:
            raise ValueError(f"not a workload: {self}")


def measured(workload: Workload, say: Say = lambda _: None) -> dict[str, Any]:
    """Prove, burn in, measure; the document that is stored."""
    date, load_start = now_utc(), load_average()
    with tempfile.TemporaryDirectory(prefix="ich-intake-") as name:
        root = Path(name)
        slices = slices_from_study(workload.study)
        say(f"Header scan of {workload.files} files")
        write_headers(root / "headers", slices, workload.files)
        header_scan = _header_scan(root / "headers", workload)
        decode = {}
        for syntax in SYNTAXES:
            say(f"Decoding of {workload.slices} slices, {syntax}")
            folder = write_series(root / syntax, slices, syntax, workload.slices)
            decode[syntax] = _decode(folder, workload)
        say("Peak memory")
        memory = {}
        for length in workload.lengths:
            folder = write_series(root / f"memory{length}", slices, "rle", length)
            memory[str(length)] = {
                "peak_pss_mib": round(_peak_mib(folder, None), 1),
                "slabs_of_5_mm_peak_pss_mib": round(_peak_mib(folder, 5.0), 1),
            }
    conditions = conditions_of_run(date, load_start, _PACKAGES)
    source = "made" if workload.study is None else f"real, {len(slices)} slices"
    first = slices[0]
    return {
        "benchmark": "intake",
        "measurements": {"header_scan": header_scan, "decode": decode, "memory": memory},
        "conditions": {
            **conditions,
            "slices": source,
            "matrix": [int(first.Rows), int(first.Columns)],
            "header_elements": len(first),
            "rounds": workload.rounds,
            "memory_syntax": "rle",
        },
    }


def _header_scan(folder: Path, workload: Workload) -> dict[str, Any]:
    """Files a second of pydicom (parsed, and with the values read), and of the client."""
    files = sorted(folder.iterdir())
    _prove_headers(folder, files)

    def plain() -> None:
        for file in files:
            dcmread(file, stop_before_pixels=True)

    def plain_with_values() -> None:
        for file in files:
            dataset = dcmread(file, stop_before_pixels=True)
            for keyword in KEYWORDS:
                dataset.get(keyword)

    runs = _in_turns(
        {
            "pydicom": plain,
            "pydicom_with_values": plain_with_values,
            "client": lambda: headers_from_path(folder),
        },
        workload.rounds,
    )
    return {
        "files": len(files),
        **_rates(runs, len(files), "files_per_second"),
        "client_over_pydicom": _ratio(runs["pydicom"], runs["client"]),
        "client_over_pydicom_with_values": _ratio(runs["pydicom_with_values"], runs["client"]),
    }


def _decode(folder: Path, workload: Workload) -> dict[str, Any]:
    """Slices a second of pydicom used plainly, and of the client with one and two workers."""
    series = chosen_series(series_from_scan(headers_from_path(folder)))
    _prove_pixels(series)

    def plain() -> None:
        for header in series.slices:
            _plain_hu(header.path)

    def with_workers(workers: int) -> Callable[[], None]:
        def run() -> None:
            for _ in hu_slices_from_series(series, workers):
                pass

        return run

    ways: dict[str, Callable[[], None]] = {"pydicom": plain}
    ways |= {f"client_{workers}_workers": with_workers(workers) for workers in _WORKERS}
    runs = _in_turns(ways, workload.rounds)
    one, two = (runs[f"client_{workers}_workers"] for workers in _WORKERS)
    return {
        "slices": len(series.slices),
        **_rates(runs, len(series.slices), "slices_per_second"),
        "two_workers_over_one": _ratio(one, two),
        "one_worker_over_pydicom": _ratio(runs["pydicom"], one),
        "two_workers_over_pydicom": _ratio(runs["pydicom"], two),
    }


def _plain_hu(path: Path) -> Any:
    """Hounsfield units as most programs make them: all of the file, one slope, one intercept."""
    dataset = dcmread(path)
    slope, intercept = dataset.get("RescaleSlope", 1), dataset.get("RescaleIntercept", 0)
    return dataset.pixel_array.astype(np.float32) * np.float32(slope) + np.float32(intercept)


def _prove_headers(folder: Path, files: list[Path]) -> None:
    headers = headers_from_path(folder).headers
    if len(headers) != len(files):
        raise Disagreement(f"{len(files)} files, but the client finds {len(headers)} images.")
    for header in headers[:: max(1, len(headers) // 50)]:
        dataset = dcmread(header.path, stop_before_pixels=True)
        for keyword in ("SOPInstanceUID", "SeriesInstanceUID", "Rows", "Columns", "Modality"):
            if getattr(header, keyword) != dataset.get(keyword):
                raise Disagreement(
                    f"{keyword} of {header.relative_path} is not what pydicom reads."
                )
        if list(header.ImagePositionPatient or ()) != list(dataset.ImagePositionPatient):
            raise Disagreement(f"The place of {header.relative_path} is not what pydicom reads.")


def _prove_pixels(series: Series) -> None:
    """Every value that is no padding is pydicom's own, clipped below."""
    for one in hu_slices_from_series(series, workers=2):
        plain = _plain_hu(one.header.path)
        differs = (one.hu != np.maximum(plain, AIR_HU)) & (one.hu != AIR_HU)
        if differs.any() or float((one.hu == AIR_HU).mean()) > 0.95:
            raise Disagreement(f"{one.header.relative_path} has other values than pydicom gives.")


def _in_turns(ways: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each way in each round; the order rotates, and one round before is not counted."""
    names = list(ways)
    runs: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds + 1):
        start = turn % len(names)
        for name in (*names[start:], *names[:start]):
            seconds = timed_s(ways[name])
            if turn:
                runs[name].append(seconds)
    return runs


def _rates(runs: Mapping[str, list[float]], count: int, unit: str) -> dict[str, Any]:
    return {
        name: {
            unit: round(count / median(seconds), 1),
            "runs_s": [round(one, 4) for one in seconds],
        }
        for name, seconds in runs.items()
    }


def _ratio(slower: list[float], faster: list[float]) -> float:
    """Median over rounds of how many times as fast the second way was."""
    return round(median(a / b for a, b in zip(slower, faster, strict=True)), 3)


def _peak_mib(folder: Path, slab_mm: float | None) -> float:
    """Most memory of a process that reads a series to its end, its decoders included."""
    command = [sys.executable, "-m", "benchmarks.intake_process", str(folder)]
    if slab_mm is not None:
        command.append(str(slab_mm))
    with subprocess.Popen(command, cwd=Path(__file__).parents[1]) as process:
        with peak_memory(process.pid) as peak:
            code = process.wait()
        if code:
            raise BenchmarkError(f"A process that reads {folder.name} ended with {code}.")
    return peak.tree_mib


def print_table(document: Mapping[str, Any]) -> None:
    """The medians for people, on stdout."""
    from rich.console import Console
    from rich.table import Table

    found = document["measurements"]
    scan = found["header_scan"]
    table = Table("work", "pydicom", "client, 1", "client, 2", "2 over 1", box=None, pad_edge=False)
    rates = [f"{scan[way]['files_per_second']:.0f}/s" for way in ("pydicom", "client")]
    table.add_row("headers", *rates, "", "")
    for syntax, row in found["decode"].items():
        ways = ("pydicom", "client_1_workers", "client_2_workers")
        rates = [f"{row[way]['slices_per_second']:.1f}/s" for way in ways]
        table.add_row(syntax, *rates, f"{row['two_workers_over_one']:.2f}")
    console = Console(highlight=False)
    console.print(table)
    for length, row in found["memory"].items():
        console.print(f"{length} slices: {row['peak_pss_mib']:.0f} MiB")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--study", type=_FOLDER, help="Take slices from here; made ones if not given.")
@click.option("--files", type=click.IntRange(1), default=2000, show_default=True)
@click.option("--slices", type=click.IntRange(16), default=300, show_default=True)
@click.option("--lengths", type=click.IntRange(16), multiple=True, default=(30, 300, 1500),
              show_default=True, help="Series whose memory is measured.")  # fmt: skip
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout instead of a table.")
@click.option("--out", type=_FILE, help="Write the JSON here.")
@told
def main(as_json: bool, out: Path | None, **work: Any) -> None:
    """Measure header scan, decoding and memory of intake against pydicom."""
    document = measured(Workload(**work), say=lambda text: click.echo(text, err=True))
    hand_over(document, print_table, as_json=as_json, out=out)


if __name__ == "__main__":
    main()
