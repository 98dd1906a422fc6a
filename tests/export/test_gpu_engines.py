"""Engines on a GPU: built, run, compared with torch and timed. None of this has ever been run."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ichexport.engines import Runner
from ichexport.errors import CannotRunHere, IchExportError, MissingExtra
from ichexport.members import Member
from ichexport.parity import torch_from_member
from ichexport.plan_runner import gpu_here
from ichexport.routes import ROUTES
from ichexport.routes.route import Built, Source
from ichexport.typed import typed_graph

HU = NDArray[np.float16]
TOLERANCES = {"f32": 1e-3, "f16": 0.02, "bf16": 0.15}
"""Largest difference of a logit, in the spread of the logits, and of a mask's probability."""

pytestmark = pytest.mark.gpu


@pytest.fixture(autouse=True, scope="session")
def on_a_gpu() -> None:
    try:
        gpu_here()
    except CannotRunHere as error:
        pytest.skip(f"needs an NVIDIA GPU: {error}")


@pytest.fixture
def engine(
    small_member: Member, small_graph: Path, small_hu: HU, tmp_path: Path
) -> Callable[[str, str], tuple[Built, Runner]]:
    """Builds the small member for a target in a precision, and loads what was built."""

    def made(target: str, precision: str) -> tuple[Built, Runner]:
        route, graph = ROUTES[target], small_graph
        options = route.Options(precision=precision)
        if options.graph_precision != "f32":
            graph = tmp_path / f"{precision}.onnx"
            typed_graph(small_graph, precision, graph, small_hu)
        source = Source("ich_any", graph, lambda: small_member, small_hu)
        try:
            built = route.build(source, tmp_path, options)
            return built, route.run(built.engine, options)
        except (MissingExtra, CannotRunHere) as error:
            pytest.skip(f"needs the libraries of {target} and a GPU that they cover: {error}")

    return made


@pytest.mark.parametrize("precision", TOLERANCES)
@pytest.mark.parametrize("target", ["tensorrt", "tensorrt-rtx", "torch-tensorrt"])
def test_an_engine_says_what_torch_says(
    engine: Callable[[str, str], tuple[Built, Runner]],
    small_member: Member,
    small_hu: HU,
    record_property: Callable[[str, object], None],
    target: str,
    precision: str,
) -> None:
    built, run = engine(target, precision)
    assert built.layers.get(precision, 0) == sum(built.layers.values()) > 0
    reference = torch_from_member(small_member)
    spread = float(np.ptp(reference(small_hu)["LOGIT"]))
    for slices in (1, 3, 64, 2):  # a smaller batch after a larger one uses the same buffers
        hu = np.resize(small_hu, (slices, *small_hu.shape[1:]))
        expected, found = reference(hu), run(hu)
        assert found.keys() == expected.keys()
        for name, values in expected.items():
            assert found[name].dtype == values.dtype
            unit = spread if name == "LOGIT" else 1.0
            np.testing.assert_allclose(
                found[name].astype(np.float32) / unit,
                values.astype(np.float32) / unit,
                atol=TOLERANCES[precision],
                rtol=0,
            )
    started = time.perf_counter()
    for _ in range(20):
        run(small_hu)
    record_property("ms_of_five_slices", 1e3 * (time.perf_counter() - started) / 20)


def test_more_slices_than_the_profile_has_are_refused(
    engine: Callable[[str, str], tuple[Built, Runner]], small_hu: HU
) -> None:
    _, run = engine("tensorrt", "f32")
    with pytest.raises(IchExportError, match="cannot run HU"):
        run(np.resize(small_hu, (65, *small_hu.shape[1:])))


def test_the_timing_cache_is_written_and_taken_again(
    small_graph: Path, small_hu: HU, tmp_path: Path
) -> None:
    route, timings = ROUTES["tensorrt"], tmp_path / "timings"
    options = route.Options(precision="f32", timing_cache=str(timings))
    source = Source("ich_any", small_graph, None, small_hu)
    try:
        route.build(source, tmp_path, options)
    except MissingExtra as error:
        pytest.skip(f"needs the libraries of tensorrt: {error}")
    assert timings.stat().st_size > 0
    route.build(source, tmp_path, options)
    timings.write_bytes(b"no timings")
    with pytest.raises(IchExportError, match="another"):
        route.build(source, tmp_path, options)


def test_the_engine_that_was_read_back_tells_its_layers(
    engine: Callable[[str, str], tuple[Built, Runner]],
) -> None:
    built, _ = engine("tensorrt", "f16")
    assert built.read_from == "the engine", json.dumps(dict(built.layers))
