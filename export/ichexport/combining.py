"""Members' outputs -> the combination of `ichcore.combine`, as ONNX nodes behind the members.

Where HU, a logit or a mask of a slice is no number, every output of that slice is NaN: an engine
has no other way to refuse, and the networks themselves would clip a NaN to a window's edge, go on,
and count an area of 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ichcore import EnsembleSpec
from ichexport.merging import INPUT

PREFIX = "ensemble."
"""How the names of the combination's nodes and constants begin. They calculate in f32 always: an
area of more than 256 pixels cannot be counted in bf16, nor one of 65,504 mm2 in FP16."""

_FINITE_FP16, _FINITE_FP32 = 65505.0, 3.4e38
_HALF_WIDTH = 0.51
"""Half of 0 to 1, with what `ichcore.combine` lets a probability pass it by."""


def append_combination(
    graph: Any,
    spec: EnsembleSpec,
    with_mask: Sequence[str],
    numbers: Mapping[str, NDArray[np.float32]],
) -> None:
    """Write the combination behind the members `<member>.LOGIT`, `.MASK` and `.BRAIN` of a graph.

    `with_mask` are the members that give a MASK, `numbers` the constants `PREFIX...` of the spec.
    """
    new = _Nodes(graph)
    for name, values in numbers.items():
        new.constant(name.removeprefix(PREFIX), values)
    one, axis = new.constant("one", [[1.0]]), new.constant("axis", [1], np.int64)

    logits = new.node("Concat", [f"{m}.LOGIT" for m in spec.member_names], "logits", axis=1)
    scaled = new.node("Mul", [logits, f"{PREFIX}slope"], "scaled")
    shifted = new.node("Add", [scaled, f"{PREFIX}intercept"], "shifted")
    members = new.node("Sigmoid", [shifted], "member_scores")
    parts = new.node("Mul", [members, f"{PREFIX}score_weight"], "score_parts")
    total = new.node("ReduceSum", [parts, axis], "score_total", keepdims=1)
    score = new.node("Min", [total, one], "score")  # rounding must not pass 1

    floats = [new.float(f"{name}.MASK", f"mask_{name}") for name in with_mask]
    stacked = [new.node("Unsqueeze", [value, axis], f"{value}_stacked") for value in floats]
    masks = new.node("Concat", stacked, "masks", axis=1)
    weighted = new.node("Mul", [masks, f"{PREFIX}mask_weight"], "mask_parts")
    mask = new.node("ReduceSum", [weighted, axis], "mask", keepdims=0)
    pixels = new.node("Flatten", [mask], "mask_pixels", axis=1)
    brain = new.float(f"{spec.brain_member}.BRAIN", "brain")
    brain = new.node("Flatten", [brain], "brain_pixels", axis=1)
    inside = new.node("GreaterOrEqual", [brain, f"{PREFIX}brain_threshold"], "inside")
    above = new.node("GreaterOrEqual", [pixels, f"{PREFIX}mask_threshold"], "above")
    lesion = new.node("And", [above, inside], "lesion")

    sound = _sound(new, logits, pixels, brain)
    nan = new.constant("nan", [[np.nan]])
    for output, answer in (
        ("SCORE", score),
        ("MEMBER_SCORES", members),
        ("LESION_MM2", _area(new, lesion, "lesion")),
        ("BRAIN_MM2", _area(new, inside, "brain")),
    ):
        new.append("Where", [sound, answer, nan], output)
    sound_mask = new.node("Unsqueeze", [sound, axis], "sound_mask")
    nan_mask = new.constant("nan_mask", [[[np.nan]]])
    kept = new.node("Where", [sound_mask, mask, nan_mask], "mask_or_nan")
    new.cast(kept, "MASK", np.float16)


def _sound(new: _Nodes, logits: str, mask: str, brain: str) -> str:
    """[N, 1]: whether HU and logits of a slice are finite, and its masks probabilities.

    Each of these is a comparison that must be true everywhere, and NaN compares as false.
    """
    half = new.constant("half", [[0.5]])
    hu = new.node("Flatten", [new.float(INPUT, "hu")], "hu_pixels", axis=1)
    checks = (
        _all_within(new, hu, _FINITE_FP16, "hu"),
        _all_within(new, logits, _FINITE_FP32, "logits"),
        _all_within(new, new.node("Sub", [mask, half], "mask_off"), _HALF_WIDTH, "mask"),
        _all_within(new, new.node("Sub", [brain, half], "brain_off"), _HALF_WIDTH, "brain"),
    )
    return new.node("Greater", [new.node("Min", checks, "all_within"), half], "sound")


def _all_within(new: _Nodes, values: str, limit: float, what: str) -> str:
    size = new.node("Abs", [values], f"{what}_size")
    within = new.node("Less", [size, new.constant(f"{what}_limit", [[limit]])], f"{what}_within")
    ones = new.float(within, f"{what}_ones")
    return new.node("ReduceMin", [ones, f"{PREFIX}axis"], f"{what}_all", keepdims=1)


def _area(new: _Nodes, pixels: str, what: str) -> str:
    ones = new.float(pixels, f"{what}_counted")
    count = new.node("ReduceSum", [ones, f"{PREFIX}axis"], f"{what}_count", keepdims=1)
    return new.node("Mul", [count, f"{PREFIX}mask_pixel_mm2"], f"{what}_mm2")


class _Nodes:
    """Appends to a graph; whatever it names begins with `PREFIX`, but for the graph's outputs."""

    def __init__(self, graph: Any) -> None:
        self._graph = graph

    def node(self, kind: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        output = f"{PREFIX}{name.removeprefix(PREFIX)}"
        return self.append(kind, inputs, output, **attributes)

    def float(self, source: str, name: str) -> str:
        return self.cast(source, f"{PREFIX}{name}", np.float32)

    def cast(self, source: str, output: str, dtype: type[np.generic]) -> str:
        from onnx import helper

        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self.append("Cast", [source], output, to=kind)

    def append(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        from onnx import helper

        name = f"{PREFIX}{output.removeprefix(PREFIX)}.{kind}"
        self._graph.node.append(helper.make_node(kind, inputs, [output], name=name, **attributes))
        return output

    def constant(self, name: str, values: Any, dtype: type[np.generic] = np.float32) -> str:
        from onnx import numpy_helper

        tensor = numpy_helper.from_array(np.asarray(values, dtype=dtype), f"{PREFIX}{name}")
        self._graph.initializer.append(tensor)
        return str(tensor.name)
