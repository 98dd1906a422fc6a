"""Triton's own perf_analyzer, where it is installed -> its CSV beside our numbers."""

from __future__ import annotations

import base64
import csv
import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.data import Pool
from ichcore.items import CHUNK_SLICES

PROGRAM = "perf_analyzer"
_DEADLINE_S = 240


def beside(url: str, model: str, pool: Pool, quick: bool) -> dict[str, Any]:
    """What it says of a model on the running server, or that it is absent or failed.

    It sends the same real slices. Its numbers stand beside ours and are never needed.
    """
    program = shutil.which(PROGRAM)
    if program is None:
        return {"verdict": "absent: not on PATH, so these are our own numbers alone"}
    with tempfile.TemporaryDirectory(prefix="ich-perf-") as folder:
        data, report = Path(folder) / "data.json", Path(folder) / "report.csv"
        data.write_text(json.dumps(_data(pool)), encoding="utf-8")
        command = [
            program, "-m", model, "-u", url, "-i", "grpc", "-b", "8",
            "--concurrency-range", "1:2" if quick else "1:4", "--input-data", str(data),
            "--measurement-interval", "1000" if quick else "5000",
            "--stability-percentage", "10", "-f", str(report),
        ]  # fmt: skip
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=_DEADLINE_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return {"verdict": f"could not be run: {error}"}
        if done.returncode or not report.is_file():
            words = " ".join((done.stderr or done.stdout).split())[-300:]
            return {"verdict": f"ended with {done.returncode}: {words}"}
        rows = list(csv.DictReader(report.read_text(encoding="utf-8").splitlines()))
    return {"verdict": "run beside", "rows": rows}


def _data(pool: Pool) -> dict[str, Any]:
    """Its JSON of inputs: one slice an entry, which it puts into batches."""
    slices = pool.hu[: 4 * CHUNK_SLICES]
    encoded = [base64.b64encode(one.tobytes()).decode() for one in slices]
    return {"data": [{"HU": {"b64": text}} for text in encoded]}
