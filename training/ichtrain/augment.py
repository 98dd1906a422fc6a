"""Batch of slices -> batch as another scanner, another head, another day would show it."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own convention
from torch import Tensor

from ichcore import HU_AIR, HU_MAX


def augmented(
    hu: Tensor, lesion: Tensor, brain: Tensor, rng: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Mirror, rotate, scale, shift, blur and add noise; HU [N, S, R, C], masks at half size."""
    count = len(hu)
    matrix = _affine(count, rng)
    # Air outside the field: sample the difference from air, which is 0 there.
    hu = _sampled(hu - HU_AIR, matrix) + HU_AIR
    lesion, brain = _sampled(lesion, matrix), _sampled(brain, matrix)
    hu = hu + _glow_hu(hu, rng)
    if rng.random() < 0.3:
        hu = F.avg_pool2d(hu, 3, stride=1, padding=1, count_include_pad=False)
    # Scanners differ in the level of the brain, and within a slice by what the bone leaves behind.
    bias_hu = torch.from_numpy(rng.normal(0.0, 2.5, (count, 1, 5, 5))).float()
    bias_hu = F.interpolate(bias_hu, size=hu.shape[-2:], mode="bicubic", align_corners=False)
    gain = torch.from_numpy(rng.normal(1.0, 0.03, (count, 1, 1, 1))).float()
    shift_hu = torch.from_numpy(rng.normal(0.0, 4.0, (count, 1, 1, 1))).float()
    noise_hu = torch.from_numpy(rng.uniform(0.0, 5.0, (count, 1, 1, 1))).float()
    hu = hu * gain + shift_hu + bias_hu + torch.randn_like(hu) * noise_hu
    return torch.round(torch.clamp(hu, HU_AIR, HU_MAX)), lesion, brain


def _glow_hu(hu: Tensor, rng: np.random.Generator) -> Tensor:
    """What bone leaves in the brain beside it, on top of what the scanner of a phantom left.

    On a real scanner the first millimetres under the skull were seen 10 to 40 HU brighter than
    deep brain, and 3 to 6 HU still 10 mm away.
    """
    bone = torch.clamp((hu - 250.0) / 1000.0, 0.0, 1.0)
    glow = torch.zeros_like(hu)
    for width, most_hu in ((9, 60.0), (25, 40.0)):
        strength_hu = torch.from_numpy(rng.uniform(0.0, most_hu, (len(hu), 1, 1, 1))).float()
        glow = glow + strength_hu * _wide_mean(_wide_mean(bone, width), width)
    return glow


def _wide_mean(values: Tensor, width: int) -> Tensor:
    half = width // 2
    rows = F.avg_pool2d(values, (width, 1), stride=1, padding=(half, 0))
    return F.avg_pool2d(rows, (1, width), stride=1, padding=(0, half))


def _affine(count: int, rng: np.random.Generator) -> Tensor:
    angle = np.deg2rad(rng.normal(0.0, 6.0, count))
    scale = rng.uniform(0.88, 1.12, (count, 2))
    mirror = rng.choice([-1.0, 1.0], count)
    matrix = np.zeros((count, 2, 3), dtype=np.float32)
    matrix[:, 0, 0] = np.cos(angle) * scale[:, 0] * mirror
    matrix[:, 0, 1] = -np.sin(angle) * scale[:, 1]
    matrix[:, 1, 0] = np.sin(angle) * scale[:, 0] * mirror
    matrix[:, 1, 1] = np.cos(angle) * scale[:, 1]
    matrix[:, :, 2] = rng.normal(0.0, 0.03, (count, 2))
    return torch.from_numpy(matrix)


def _sampled(values: Tensor, matrix: Tensor) -> Tensor:
    raster = F.affine_grid(matrix, list(values.shape), align_corners=False)
    return F.grid_sample(values, raster, align_corners=False, padding_mode="zeros")
