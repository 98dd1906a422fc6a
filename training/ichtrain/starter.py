"""Phantom items -> the four starter members, trained in minutes on a laptop's processor.

Strong annotation: every pixel's label trains the mask, and the slice logit is pooled from the
mask logits. The member for all ICH comes first; the subtype members start from its weights and
see their own subtype and normals only, as in the paper.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own convention
from torch import Tensor

from ichcore import Grid
from ichexport.members import Member, MemberOptions
from ichtrain.augment import augmented
from ichtrain.errors import IchTrainError
from ichtrain.items import SMALL_VOLUME_ML, Items

SUBSETS: dict[str, Callable[[Items], bool]] = {
    "ich_any": lambda items: True,
    "ich_sdh": lambda items: items.kind in ("normal", "sdh"),
    "ich_sah": lambda items: items.kind in ("normal", "sah"),
    "ich_small": lambda items: items.kind == "normal" or items.volume_ml <= SMALL_VOLUME_ML,
}
"""Which series each member sees, in the order of the ensemble."""


@dataclass(frozen=True)
class FitOptions:
    """How long and how fast a member learns."""

    steps: int = 500
    batch_size: int = 12
    learning_rate: float = 2e-3
    crop_pixels: int = 192
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot train."""
        if self.steps < 1 or self.batch_size < 2 or self.crop_pixels % 32:
            raise IchTrainError(
                "Training needs at least 1 step, a batch of 2 and crops of a multiple of 32 "
                f"pixels, not {self.steps}, {self.batch_size} and {self.crop_pixels}."
            )


def member_from_items(
    series: Sequence[Items],
    options: FitOptions,
    *,
    with_brain: bool,
    start: Member | None = None,
    progress: Callable[[int, float], None] = lambda step, loss: None,
) -> Member:
    """Train one member; `start` gives the encoder, decoder and lesion head to begin from."""
    torch.manual_seed(options.seed)
    rng = np.random.default_rng(options.seed)
    member = Member(MemberOptions(with_brain=with_brain))
    if start is not None:
        _copy_shared(start, member)
    member.to(memory_format=torch.channels_last).train()
    optimiser = torch.optim.AdamW(member.parameters(), lr=options.learning_rate, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=options.learning_rate, total_steps=options.steps, pct_start=0.15
    )
    pools = _slice_pools(series, member.options.grid)
    for step in range(options.steps):
        hu, lesion, brain = _batch(series, pools, options, rng)
        loss = _loss(member, hu, lesion, brain)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(member.parameters(), 5.0)
        optimiser.step()
        schedule.step()
        value = float(loss.detach())
        if not math.isfinite(value):
            raise IchTrainError(f"The loss became {value} at step {step}; lower the learning rate.")
        progress(step, value)
    return member.eval()


def _copy_shared(start: Member, member: Member) -> None:
    shared = copy.deepcopy(start.state_dict())
    heads = member.head.weight.shape[0]
    for name in ("head.weight", "head.bias"):
        shared[name] = shared[name][:heads]
    member.load_state_dict(shared)


Pool = list[tuple[int, int]]


def _slice_pools(series: Sequence[Items], grid: Grid) -> tuple[Pool, Pool]:
    """(series, slice) of those with blood and those without."""
    positive: Pool = []
    negative: Pool = []
    for number, items in enumerate(series):
        for index, is_positive in enumerate(items.positive(grid)):
            (positive if is_positive else negative).append((number, index))
    if not positive or not negative:
        raise IchTrainError("Training needs slices with blood and slices without; make more.")
    return positive, negative


def _batch(
    series: Sequence[Items], pools: tuple[Pool, Pool], options: FitOptions, rng: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    half = options.batch_size // 2
    chosen = [pools[0][i] for i in rng.integers(len(pools[0]), size=half)]
    chosen += [pools[1][i] for i in rng.integers(len(pools[1]), size=options.batch_size - half)]
    hu = torch.from_numpy(np.stack([series[s].hu[i] for s, i in chosen])).float()
    masks = [
        torch.from_numpy(np.stack([getattr(series[s], name)[i] for s, i in chosen])).float()[
            :, None
        ]
        for name in ("lesion", "brain")
    ]
    hu, lesion, brain = augmented(hu, masks[0], masks[1], rng)
    return _cropped(hu, lesion, brain, options.crop_pixels, rng)


def _cropped(
    hu: Tensor, lesion: Tensor, brain: Tensor, pixels: int, rng: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """The same crop for the whole batch; the mask raster has half the resolution."""
    top, left = (2 * int(rng.integers((size - pixels) // 2 + 1)) for size in hu.shape[-2:])
    half = pixels // 2
    rows, columns = slice(top // 2, top // 2 + half), slice(left // 2, left // 2 + half)
    return (
        hu[..., top : top + pixels, left : left + pixels],
        lesion[..., rows, columns],
        brain[..., rows, columns],
    )


def _loss(member: Member, hu: Tensor, lesion: Tensor, brain: Tensor) -> Tensor:
    """Cross-entropy and Dice on the mask, cross-entropy on the slice, and on the brain."""
    slice_logit, head = member.logits(hu.to(memory_format=torch.channels_last))
    area_pixels = lesion.sum(dim=(1, 2, 3))
    label = (area_pixels >= 3.0).float()[:, None]
    # A sliver cut off by the crop is neither: it says nothing about the slice.
    certain = ((area_pixels == 0) | (area_pixels >= 6.0)).float()[:, None]
    probability = torch.sigmoid(head[:, :1])
    overlap = 2 * (probability * lesion).sum() + 1
    dice = 1 - overlap / (probability.sum() + lesion.sum() + 1)
    pixel = F.binary_cross_entropy_with_logits(head[:, :1], lesion) * 5
    whole = (
        F.binary_cross_entropy_with_logits(slice_logit, label, reduction="none") * certain
    ).mean()
    loss = dice + pixel + 0.5 * whole
    if member.options.with_brain:
        loss = loss + 0.5 * F.binary_cross_entropy_with_logits(head[:, 1:2], brain)
    return loss
