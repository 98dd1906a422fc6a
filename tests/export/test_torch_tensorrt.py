"""Torch module -> Torch-TensorRT, as far as it goes without a driver: the module that is given."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ichexport.errors import IchExportError, MissingExtra
from ichexport.members import Member
from ichexport.routes import tensorrt, torch_tensorrt
from ichexport.routes.route import Source

HU = NDArray[np.float16]


@pytest.mark.parametrize(("precision", "tolerance"), [("f32", 1e-6), ("f16", 0.02), ("bf16", 0.2)])
def test_the_exported_module_calculates_in_one_type_and_says_the_same(
    small_member: Member, small_hu: HU, precision: str, tolerance: float
) -> None:
    options = torch_tensorrt.Options(precision=precision)
    program, layers = torch_tensorrt.exported_program(small_member, options)
    convolutions = [m for m in small_member.modules() if isinstance(m, torch.nn.Conv2d)]
    assert layers == {precision: len(convolutions)}
    given = torch.from_numpy(small_hu)
    with torch.inference_mode():
        expected, found = small_member(given), program.module()(given)
    assert [tensor.dtype for tensor in found] == [torch.float32, torch.float16, torch.float16]
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours.float(), theirs.float(), atol=tolerance, rtol=0)


def test_windows_and_the_pooled_logit_stay_in_f32(small_member: Member) -> None:
    program, _ = torch_tensorrt.exported_program(small_member, torch_tensorrt.Options())
    types = {
        kind: {n.meta["val"].dtype for n in program.graph.nodes if kind in str(n.target)}
        for kind in ("avg_pool2d", "clamp", "log_sigmoid", "aten.mean")
    }
    assert all(found == {torch.float32} for found in types.values()), types


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"precision": "int8"}, "no precision int8"),
        ({"hardware_compatibility": "same_compute_capability"}, "no hardware compatibility same"),
    ],
)
def test_what_torch_tensorrt_lacks_is_refused(options: dict[str, str], match: str) -> None:
    with pytest.raises(IchExportError, match=match):
        torch_tensorrt.Options(**options)


def test_a_library_that_raises_when_it_is_imported_ends_in_one_sentence(
    small_graph: Path, small_hu: HU, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Torch-TensorRT 2.14 prints, and raises a plain Exception, where no driver is.
    (tmp_path / "torch_tensorrt.py").write_text("print('chatter')\nraise Exception('no libcuda')")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "torch_tensorrt", raising=False)
    source = Source("ich_any", small_graph, None, small_hu)
    with pytest.raises(IchExportError, match=r"only where an NVIDIA driver .*no libcuda"):
        torch_tensorrt.build(source, tmp_path, torch_tensorrt.Options())


@pytest.mark.parametrize("route", [tensorrt, torch_tensorrt])
def test_a_library_that_is_absent_names_its_extra(
    small_graph: Path,
    small_hu: HU,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    route: object,
    forget_libraries: Callable[[], None],
) -> None:
    for name in ("tensorrt", "torch_tensorrt"):
        monkeypatch.setitem(sys.modules, name, None)  # what makes an import fail
    forget_libraries()
    source = Source("ich_any", small_graph, None, small_hu)
    with pytest.raises(MissingExtra, match=r"pip install 'ich-triton\[tensorrt\]'"):
        route.build(source, tmp_path, route.Options())


@pytest.fixture
def forget_libraries() -> Callable[[], None]:
    """Lets `tensorrt` be looked for anew."""
    from ichexport.tensorrt_library import tensorrt as library

    return library.cache_clear


def test_options_of_tensorrt_refuse_what_it_has_not() -> None:
    with pytest.raises(IchExportError, match="not in f64"):
        tensorrt.Options(precision="f64")
    with pytest.raises(IchExportError, match="No hardware compatibility 'all'"):
        tensorrt.Options(hardware_compatibility="all")
