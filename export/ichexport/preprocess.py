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
_USUAL_HU, _SMALL = 32.0, 1e-3


def channel_count(slices_per_item: int) -> int:
    """Channels that `HUChannels` makes of an item of `slices_per_item` slices."""
    return slices_per_item * (len(WINDOWS) + 1)


class HUChannels(nn.Module):
    """HU [N, S, R, C] -> float32 [N, 4 S, R, C], every channel within [-1, 1]."""

    def forward(self, hu: Tensor) -> Tensor:
        """Window each slice, and add its local contrast."""
        slices, rows = hu.shape[1:3]
        # Rows of all slices stand where an engine looks for channels: it would pad one channel to
        # 16, and then do 16 times the work.
        lines = hu.float().flatten(1, 2)
        channels = [
            torch.clamp((lines - window.level_hu) * (2.0 / window.width_hu), -1.0, 1.0)
            for window in WINDOWS
        ]
        channels.append(_local_contrast(lines, slices))
        return torch.cat([torch.unflatten(each, 1, (slices, rows)) for each in channels], dim=1)


def _local_contrast(lines: Tensor, slices: int) -> Tensor:
    low, high = SOFT_TISSUE_HU
    clamped = torch.clamp(lines, low, high)
    # 1 inside the range and 0 outside, without comparisons that some engines keep in another type
    inside = 1.0 - torch.clamp(torch.abs(lines - clamped), 0.0, 1.0)
    # Less than the tissue's usual HU, so that an engine which keeps 8 bits keeps fractions of one.
    centred = clamped - _USUAL_HU
    total = _box_mean(centred * inside, slices)
    count = _box_mean(inside, slices)
    difference = (centred - (total - _USUAL_HU * _SMALL) / (count + _SMALL)) * inside
    return torch.clamp(difference / _LOCAL_CONTRAST_RANGE_HU, -1.0, 1.0)


def _box_mean(lines: Tensor, slices: int) -> Tensor:
    # Two passes along one axis each cost 30 instead of 225 additions a pixel.
    return _turned(_line_mean(_turned(_line_mean(lines), slices)), slices)


def _line_mean(lines: Tensor) -> Tensor:
    size = (1, LOCAL_CONTRAST_PIXELS)
    padding = (0, LOCAL_CONTRAST_PIXELS // 2)
    return F.avg_pool2d(lines.unsqueeze(2), size, stride=1, padding=padding).squeeze(2)


def _turned(lines: Tensor, slices: int) -> Tensor:
    """[N, S R, C] -> [N, S C, R]: the columns of each slice in the place of its rows."""
    return torch.unflatten(lines, 1, (slices, -1)).transpose(2, 3).flatten(1, 2)
