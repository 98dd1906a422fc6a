"""f32 torch member -> the same module in another type, for engines that take types from a module.

As in the typed ONNX graphs, the windows and the local contrast stay in f32, and so does all that
comes after the last convolution: a window in FP16 rounds HU away, a pooled logit loses its digits.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from ichexport.members import Member

DTYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
"""Types that a module can be cast to."""


class To(nn.Module):
    """Values in another type."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self._dtype = dtype

    def forward(self, values: Tensor) -> Tensor:
        """The same values, rounded to the type."""
        return values.to(self._dtype)


def typed_member(member: Member, precision: str) -> Member:
    """A copy that calculates in `f32`, `f16` or `bf16`; inputs and outputs are as they were."""
    low = DTYPES[precision]
    typed = copy.deepcopy(member).eval().to(low)
    last = "classifier" if member.options.annotation == "weak" else "head"
    typed.set_submodule("channels", nn.Sequential(member.channels, To(low)))
    typed.set_submodule(last, nn.Sequential(typed.get_submodule(last), To(torch.float32)))
    return typed


def layers_from_program(program: torch.export.ExportedProgram) -> dict[str, int]:
    """Count the convolutions and matrix products of an exported module by type."""
    names = {dtype: name for name, dtype in DTYPES.items()}
    counts: dict[str, int] = {}
    for node in program.graph.nodes:
        if node.op == "call_function" and any(word in str(node.target) for word in _WEIGHTED):
            dtype = node.meta["val"].dtype
            name = names.get(dtype, str(dtype))
            counts[name] = counts.get(name, 0) + 1
    return counts


_WEIGHTED = ("aten.conv", "aten.linear", "aten.addmm", "aten.mm.", "aten.matmul", "aten.bmm")
