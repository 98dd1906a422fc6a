"""Network with batch norms <-> the same network without, for one input as for another.

Released members carry no batch norms. `unfold_batch_norms` goes back, so that training can start
from released weights: the statistics of a batch norm that was folded are unknown, but any data
give some, and with scale and shift chosen to match, the network says what it said.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

_NAMED_PAIRS = (("conv", "bn"), ("conv1", "norm2"))
"""Convolution and batch norm in the blocks of InceptionResNetV2 and DenseNet121."""


class ScaleShift(nn.Module):
    """What is left of a batch norm that follows no convolution: one scale and shift a channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(channels, 1, 1))
        self.shift = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, values: Tensor) -> Tensor:
        """Features [N, channels, rows, columns], scaled and shifted."""
        return values * self.scale + self.shift


class _Pair(NamedTuple):
    convolution: str
    norm: str


def fold_batch_norms(network: nn.Module) -> None:
    """Take every batch norm out of a network in eval mode, in place."""
    for pair in _pairs(network):
        convolution, norm = network.get_submodule(pair.convolution), _norm(network, pair.norm)
        assert isinstance(convolution, nn.Conv2d)
        network.set_submodule(pair.convolution, fuse_conv_bn_eval(convolution, norm))
        network.set_submodule(pair.norm, nn.Identity())
    for name in _norm_names(network):
        network.set_submodule(name, _scale_shift(_norm(network, name)))


def unfold_batch_norms(network: nn.Module, folded: nn.Module, inputs: Iterable[Tensor]) -> None:
    """Give `network` the weights of its `folded` twin; both say the same in eval mode.

    The statistics are those of `inputs`, a few batches of what training will see.
    """
    pairs = {pair.norm: pair.convolution for pair in _pairs(network)}
    norms = _norm_names(network)
    moments = _moments(folded, {name: pairs.get(name, name) for name in norms}, inputs)
    state = folded.state_dict()
    own = {name for name in network.state_dict() if name.rpartition(".")[0] not in norms}
    kept = {name: state[name] for name in own if name in state}
    network.load_state_dict(kept, strict=False)
    for name in norms:
        mean, variance = moments[name]
        if name not in pairs:
            scale, shift = (state[f"{name}.{part}"].flatten() for part in ("scale", "shift"))
        elif f"{pairs[name]}.bias" in own:
            scale, shift = torch.ones_like(mean), torch.zeros_like(mean)
        else:  # the bias that folding made was watched too, and belongs to the batch norm
            scale, shift = torch.ones_like(mean), state[f"{pairs[name]}.bias"]
            mean = mean - shift
        _set_norm(_norm(network, name), mean, variance, scale, shift)


def _set_norm(
    norm: nn.BatchNorm2d, mean: Tensor, variance: Tensor, scale: Tensor, shift: Tensor
) -> None:
    """Statistics, and the weights with which the norm is `values * scale + shift`."""
    deviation = torch.sqrt(variance + norm.eps)
    norm.load_state_dict(
        {
            "running_mean": mean,
            "running_var": variance,
            "weight": scale * deviation,
            "bias": shift + scale * mean,
            "num_batches_tracked": torch.tensor(0),
        }
    )


def _moments(
    folded: nn.Module, watched: dict[str, str], inputs: Iterable[Tensor]
) -> dict[str, tuple[Tensor, Tensor]]:
    """Mean and variance of what each batch norm would see, by its name.

    A convolution is watched at its output, a scale and shift at its input.
    """
    seen: dict[str, list[Tensor]] = {name: [] for name in watched}

    def watch(name: str, layer: nn.Module) -> torch.utils.hooks.RemovableHandle:
        def note(module: nn.Module, given: tuple[Tensor, ...], made: Tensor) -> None:
            values = given[0] if isinstance(module, ScaleShift) else made
            flat = values.detach().double().transpose(0, 1).flatten(1)
            seen[name].append(torch.stack([flat.mean(1), flat.square().mean(1)]))

        return layer.register_forward_hook(note)

    hooks = [watch(name, folded.get_submodule(layer)) for name, layer in watched.items()]
    with torch.no_grad():
        for batch in inputs:
            folded(batch)
    for hook in hooks:
        hook.remove()
    moments = {}
    for name, parts in seen.items():
        mean, square = torch.stack(parts).mean(0)
        moments[name] = (mean.float(), (square - mean.square()).clamp(min=0).float())
    return moments


def _pairs(network: nn.Module) -> Iterator[_Pair]:
    """Every batch norm that directly follows a convolution."""
    for path, module in list(network.named_modules()):
        names = [name for name, _ in module.named_children()]
        candidates = pairwise(names) if isinstance(module, nn.Sequential) else _NAMED_PAIRS
        for first, second in candidates:
            convolution, norm = getattr(module, first, None), getattr(module, second, None)
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                prefix = f"{path}." if path else ""
                yield _Pair(f"{prefix}{first}", f"{prefix}{second}")


def _norm_names(network: nn.Module) -> list[str]:
    return [name for name, each in network.named_modules() if isinstance(each, nn.BatchNorm2d)]


def _norm(network: nn.Module, name: str) -> nn.BatchNorm2d:
    norm = network.get_submodule(name)
    assert isinstance(norm, nn.BatchNorm2d)
    return norm


def _scale_shift(norm: nn.BatchNorm2d) -> ScaleShift:
    layer = ScaleShift(norm.num_features)
    state = norm.state_dict()
    with torch.no_grad():
        scale = state["weight"] / torch.sqrt(state["running_var"] + norm.eps)
        layer.scale.copy_(scale[:, None, None])
        layer.shift.copy_((state["bias"] - state["running_mean"] * scale)[:, None, None])
    return layer
