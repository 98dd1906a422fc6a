"""HU [N, S, R, C] -> network channels: windows and local contrast, inside the graph.

Weights carry their own preprocessing, so that no client can get it wrong: windows as width and
level (brain 80/40, subdural 200/80, bone 2800/600) and the difference of each pixel from the
soft tissue around it, which makes scanners and kernels alike.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own convention
from torch import Tensor, nn


class Window(NamedTuple):
    """A CT display window: HU shown lie in level - width/2 to level + width/2."""

    width_hu: float
    level_hu: float


WINDOWS = (Window(80.0, 40.0), Window(200.0, 80.0), Window(2800.0, 600.0))
"""Brain, subdural and bone window, in the order of the channels."""

SOFT_TISSUE_HU = (0.0, 100.0)
"""What counts as tissue in the local average: brain, blood and CSF, but no bone and no air."""

LOCAL_CONTRAST_PIXELS = 15
_LOCAL_CONTRAST_RANGE_HU = 40.0


def channel_count(slices_per_item: int) -> int:
    """Channels that `HUChannels` makes of an item of `slices_per_item` slices."""
    return slices_per_item * (len(WINDOWS) + 1)


class HUChannels(nn.Module):
    """HU [N, S, R, C] -> float32 [N, 4 S, R, C], every channel within [-1, 1]."""

    def forward(self, hu: Tensor) -> Tensor:
        """Window each slice, and add its local contrast."""
        hu = hu.float()
        channels = [
            torch.clamp((hu - window.level_hu) * (2.0 / window.width_hu), -1.0, 1.0)
            for window in WINDOWS
        ]
        return torch.cat([*channels, _local_contrast(hu)], dim=1)


def _local_contrast(hu: Tensor) -> Tensor:
    low, high = SOFT_TISSUE_HU
    clamped = torch.clamp(hu, low, high)
    # 1 inside the range and 0 outside, without comparisons that some engines keep in another type
    inside = 1.0 - torch.clamp(torch.abs(hu - clamped), 0.0, 1.0)
    total = _box_mean(clamped * inside)
    count = _box_mean(inside)
    difference = (clamped - total / (count + 1e-3)) * inside
    return torch.clamp(difference / _LOCAL_CONTRAST_RANGE_HU, -1.0, 1.0)


def _box_mean(values: Tensor) -> Tensor:
    # Two passes along one axis each cost 30 instead of 225 additions a pixel.
    half = LOCAL_CONTRAST_PIXELS // 2
    values = F.avg_pool2d(values, (LOCAL_CONTRAST_PIXELS, 1), stride=1, padding=(half, 0))
    return F.avg_pool2d(values, (1, LOCAL_CONTRAST_PIXELS), stride=1, padding=(0, half))
