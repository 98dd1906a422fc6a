"""Every runtime that a CUDA machine has, on the four networks: right first, then fast.

    python -m benchmarks.gpu --json --out benchmarks/results/gpu.json

It needs an NVIDIA GPU and torch, and takes whatever else it finds of ONNX Runtime with CUDA,
TensorRT, TensorRT-RTX and Torch-TensorRT. Its authors had torch alone on a GPU that it may be run
on. How each number is meant stands in `benchmarks/README.md`.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.conditions import conditions_of_run, load_average, now_utc
from benchmarks.errors import BenchmarkError, BlindProof, Disagreement
from benchmarks.roofline import BYTES, Ceilings, layers_from_onnx, least_seconds
from benchmarks.written import write_whole
from ichclient.ending_cli import told
from ichcore import Grid
from ichexport.golden import GOLDEN_FILE
from ichexport.members import ENCODERS
from ichexport.plan_runner import gpu_here
from ichexport.repository import spec_of_repository

LOGIT_TOLERANCES = {"f32": 0.002, "f16": 0.1, "bf16": 0.5}
"""Largest difference of a logit, in standard deviations of the logits over the slices."""

MASK_TOLERANCES = {"f32": 0.005, "f16": 0.1, "bf16": 0.5}
_LEAST_SPREAD = 1e-3
_PACKAGES = (
    "ich-triton", "torch", "onnx", "onnxruntime-gpu", "tensorrt", "tensorrt-cu13",
    "tensorrt-rtx-cu13", "torch-tensorrt",
)  # fmt: skip
Arrays = Mapping[str, Any]


def refuse_other_answers(found: Arrays, expected: Arrays, precision: str) -> dict[str, float]:
    """Largest differences by output; raises Disagreement where one is over its tolerance."""
    spread = float(np.std(expected["LOGIT"]))
    if not spread > _LEAST_SPREAD:
        raise BlindProof(
            f"The logits of the slices differ by {spread:.2g} only, so that answers in any order "
            "would pass; take slices with and without blood."
        )
    differences = {}
    for name, values in expected.items():
        unit = spread if name == "LOGIT" else 1.0
        apart = np.abs(found[name].astype(np.float32) - values.astype(np.float32)) / unit
        differences[name] = float(apart.max())
        tolerance = (LOGIT_TOLERANCES if name == "LOGIT" else MASK_TOLERANCES)[precision]
        if not differences[name] <= tolerance:  # in this form NaN is refused too
            raise Disagreement(
                f"{name} differs by up to {differences[name]:.3g} from torch in f32, and "
                f"{tolerance:g} is allowed in {precision}; no times are given for wrong answers."
            )
    return differences


def timed(launch: Callable[[Any], Any], hu: Any, runs: int) -> list[float]:
    """Seconds of each run from the launch until the GPU is done; the first tenth is burn-in."""
    import torch

    seconds = []
    for _ in range(runs + max(5, runs // 10)):
        torch.cuda.synchronize()
        started = time.perf_counter()
        launch(hu)
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    return seconds[-runs:]


def ceilings_of_gpu(precision: str, runs: int = 20) -> Ceilings:
    """Fastest product of two 8192 x 8192 matrices, and fastest copy of a GiB, of `runs`."""
    import torch

    from ichexport.typed_member import DTYPES

    side, size = 8192, 2**30
    matrix = torch.randn((side, side), device="cuda", dtype=torch.float32).to(DTYPES[precision])
    product = min(timed(lambda given: given @ given, matrix, runs))
    source = torch.empty(size, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    copying = min(timed(target.copy_, source, runs))
    return Ceilings(2 * side**3 / product, 2 * size / copying)


def measured(
    launch: Callable[[Any], Any], hu: Any, expected: Arrays, precision: str, plan: Mapping[int, int]
) -> dict[str, Any]:
    """Differences from the reference on all slices, then times by batch size and its runs."""
    import torch

    given = torch.from_numpy(hu).cuda()
    found = {name: tensor.cpu().numpy() for name, tensor in launch(given).items()}
    entry: dict[str, Any] = {"differences": refuse_other_answers(found, expected, precision)}
    for batch, runs in plan.items():
        repeats = -(-batch // len(given))
        seconds = timed(launch, given.repeat((repeats, 1, 1, 1))[:batch].contiguous(), runs)
        median = float(np.median(seconds))
        entry[f"batch_{batch}"] = {
            "median_ms": 1e3 * median,
            "p95_ms": 1e3 * float(np.quantile(seconds, 0.95)),
            "slices_per_second": batch / median,
        }
    return entry


def network_from_name(name: str, hu: Any, folder: Path, repository: Path) -> tuple[Any, Path]:
    """A released member of the repository, or an encoder's without training; and its graph."""
    from benchmarks.gpu_engines import lively_member
    from ichexport.engine import member_of
    from ichexport.entry import graph_of
    from ichexport.graph import onnx_from_member

    if name not in ENCODERS:
        return member_of(repository, name), graph_of(repository, name)
    member = lively_member(name, hu, Grid(hu.shape[2], hu.shape[3], slices_per_item=hu.shape[1]))
    graph = folder / f"{name}.onnx"
    onnx_from_member(member, graph)
    return member, graph


def network_measured(
    network: str, hu: Any, folder: Path, repository: Path, precisions: Sequence[str],
    plan: Mapping[int, int], runtimes: Sequence[str] = (),
) -> dict[str, Any]:  # fmt: skip
    """Every runtime, or those named, on one network; one that fails is named with its reason."""
    import torch

    from benchmarks.gpu_engines import RUNTIMES, Work, true_f32
    from ichexport.parity import torch_from_member

    member, released = network_from_name(network, hu, folder, repository)
    expected = torch_from_member(member)(hu)
    entry: dict[str, Any] = {}
    with true_f32():
        for precision in precisions:
            ceilings = ceilings_of_gpu(precision)
            entry[precision] = {"roofline": asdict(ceilings), "runtimes": {}}
            for batch in plan:
                layers = layers_from_onnx(released, batch)
                least = least_seconds(layers, precision, ceilings)
                entry[precision]["roofline"][f"batch_{batch}_least_ms"] = 1e3 * least
            for name in runtimes or RUNTIMES:
                click.echo(f"{network} in {precision}: {name}", err=True)
                work = Work(network, member, released, precision, hu, folder)
                try:
                    one = measured(RUNTIMES[name](work), hu, expected, precision, plan)
                except BlindProof:
                    raise  # no runtime could be judged
                except Exception as error:  # whatever one runtime does, the others are measured
                    one = {"no_times": " ".join(str(error).split())[:400] or repr(error)}
                entry[precision]["runtimes"][name] = one
                torch.cuda.empty_cache()
    return entry


def documents(
    repository: Path, names: Sequence[str], precisions: Sequence[str],
    plan: Mapping[int, int], runtimes: Sequence[str],
) -> Iterator[dict[str, Any]]:  # fmt: skip
    """Each network's results with those before and the conditions, as soon as they are there.

    Raises BenchmarkError without a GPU.
    """
    try:
        gpu = gpu_here()
    except Exception as error:
        raise BenchmarkError(f"There is nothing to measure here: {error}.") from error
    from benchmarks.gpu_engines import RUNTIMES

    if unknown := [name for name in runtimes if name not in RUNTIMES]:
        raise BenchmarkError(f"No runtime is called {unknown[0]!r}; known: {', '.join(RUNTIMES)}.")
    date, load_start = now_utc(), load_average()
    with np.load(repository / GOLDEN_FILE, allow_pickle=False) as golden:
        hu = golden["HU"]
    networks = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            networks[name] = network_measured(
                name, hu, Path(folder), repository, precisions, plan, runtimes
            )
            yield {
                "benchmark": "gpu",
                "networks": networks,
                "conditions": {
                    **conditions_of_run(date, load_start, _PACKAGES),
                    "gpu": gpu,
                    "slices": len(hu),
                    "runs_by_batch": {str(batch): runs for batch, runs in plan.items()},
                },
            }


def table(result: Mapping[str, Any]) -> str:
    """One line a runtime: its times, and how they stand to torch eager and to the roofline."""
    lines = []
    for network, by_precision in result["networks"].items():
        for precision, entry in by_precision.items():
            lines.append(f"{network} in {precision}")
            for name, one in entry["runtimes"].items():
                lines.append(f"  {name:18} {_line(one, entry)}")
    lines.append("Encoders had no training. Research demonstration, not a medical device.")
    return "\n".join(lines)


def _line(one: Mapping[str, Any], entry: Mapping[str, Any]) -> str:
    if "no_times" in one:
        return f"no times: {one['no_times']}"
    eager = entry["runtimes"].get("torch eager", {})
    parts = []
    for batch in (name for name in one if name.startswith("batch_")):
        median = one[batch]["median_ms"]
        part = f"{batch} {median:.2f} ms"
        if batch in eager:
            part += f", {eager[batch]['median_ms'] / median:.2f} of eager's speed"
        parts.append(f"{part}, {entry['roofline'][f'{batch}_least_ms'] / median:.0%} of roofline")
    return "; ".join(parts)


@click.command()
@click.option(
    "--network", "names", multiple=True, metavar="NAME",
    help=f"Not all: one of {', '.join(ENCODERS)} without training, or a released member.",
)  # fmt: skip
@click.option(
    "--precision", "precisions", multiple=True, type=click.Choice(tuple(BYTES)), help="Not all."
)
@click.option(
    "--runtime", "runtimes", multiple=True, metavar="NAME",
    help="Only this one, as the table names it; several times for several.",
)  # fmt: skip
@click.option("--runs", default=200, show_default=True, help="Timed runs of one slice.")
@click.option(
    "--repository",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path("model_repository"),
    show_default=True,
    help="Its golden slices are the input.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Also write JSON.")
@told
def main(
    names: tuple[str, ...], precisions: tuple[str, ...], runtimes: tuple[str, ...], runs: int,
    repository: Path, as_json: bool, out: Path | None,
) -> None:  # fmt: skip
    """Measure every runtime of this CUDA machine."""
    plan = {1: runs, 8: max(5, runs // 2), 64: max(5, runs // 8)}
    members = spec_of_repository(repository).member_names
    known = (*members, *ENCODERS)
    if unknown := [name for name in names if name not in known]:
        raise BenchmarkError(f"No network is called {unknown[0]!r}; known: {', '.join(known)}.")
    for result in documents(repository, names or known, precisions or tuple(BYTES), plan, runtimes):
        text = json.dumps(result, indent=1) + "\n"
        if out is not None:
            write_whole(out, text)
    click.echo(text if as_json else table(result), nl=not as_json)


if __name__ == "__main__":
    main()
