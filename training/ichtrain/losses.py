"""Member and batch -> loss: what strong and weak annotation teach."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own convention
from torch import Tensor

from ichexport.members import Member

_FEW_PIXELS = 3.0
_SURE_PIXELS = 6.0
_PIXEL_WEIGHT = 5.0


def strong_loss(
    member: Member, hu: Tensor, lesion: Tensor, brain: Tensor, brain_known: Tensor
) -> Tensor:
    """Loss of a batch whose every pixel is labelled.

    `hu` [N, S, R, C]; `lesion`, `brain` shares of 0 to 1 [N, 1, R/2, C/2]; `brain_known` [N],
    1 where somebody drew the inside of the skull. Cross-entropy and Dice on the mask,
    cross-entropy on the slice and on the brain.
    """
    slice_logit, head = member.logits(hu)
    area_pixels = lesion.sum(dim=(1, 2, 3))
    label = (area_pixels >= _FEW_PIXELS).float()[:, None]
    # A sliver cut off by the crop is neither: it says nothing about the slice.
    certain = ((area_pixels == 0) | (area_pixels >= _SURE_PIXELS)).float()[:, None]
    whole = F.binary_cross_entropy_with_logits(slice_logit, label, reduction="none") * certain
    pixel = F.binary_cross_entropy_with_logits(head[:, :1], lesion) * _PIXEL_WEIGHT
    inside = F.binary_cross_entropy_with_logits(head[:, 1:2], brain, reduction="none")
    inside = inside.mean(dim=(1, 2, 3)) * brain_known
    return _dice(torch.sigmoid(head[:, :1]), lesion) + pixel + 0.5 * whole.mean() + inside.mean()


def weak_loss(member: Member, hu: Tensor, label: Tensor) -> Tensor:
    """Cross-entropy of the slice logit; `label` [N, 1] is 0 or 1."""
    slice_logit, _ = member.logits(hu)
    return F.binary_cross_entropy_with_logits(slice_logit, label.float())


def _dice(probability: Tensor, truth: Tensor) -> Tensor:
    """Dice loss over the whole batch; the 1 keeps a batch without blood defined."""
    overlap = 2 * (probability * truth).sum() + 1
    return 1 - overlap / (probability.sum() + truth.sum() + 1)
