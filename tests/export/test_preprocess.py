"""HU -> channels: windows against values worked out by hand, local contrast, FP16 input."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ichexport.preprocess import HUChannels, channel_count

BRAIN, SUBDURAL, BONE, CONTRAST = range(4)


def channels(hu: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return HUChannels()(hu)


@pytest.mark.parametrize(
    ("hu", "brain", "subdural", "bone"),
    [
        (-1024, -1.0, -1.0, -1.0),
        (-100, -1.0, -1.0, -0.5),
        (0, -1.0, -0.8, -600 / 1400),
        (20, -0.5, -0.6, -580 / 1400),
        (40, 0.0, -0.4, -0.4),
        (60, 0.5, -0.2, -540 / 1400),
        (80, 1.0, 0.0, -520 / 1400),
        (180, 1.0, 1.0, -0.3),
        (1300, 1.0, 1.0, 0.5),
        (2047, 1.0, 1.0, 1.0),
    ],
)
def test_windows_are_level_and_width(hu: int, brain: float, subdural: float, bone: float) -> None:
    found = channels(torch.full((1, 1, 32, 32), float(hu)))[0, :CONTRAST, 16, 16]
    np.testing.assert_allclose(found, [brain, subdural, bone], atol=1e-6)


@pytest.mark.parametrize("hu", [-1000.0, 8.0, 35.0, 1200.0])
def test_flat_tissue_has_no_local_contrast(hu: float) -> None:
    contrast = channels(torch.full((1, 1, 64, 64), hu))[0, CONTRAST]
    # A thousandth of a pixel keeps the mean from dividing by zero; it is felt most in the corners.
    assert contrast.abs().max() < 1e-2
    assert contrast[20:40, 20:40].abs().max() < 2e-3


def test_local_contrast_is_the_difference_from_the_tissue_around() -> None:
    hu = torch.full((1, 1, 64, 64), 35.0)
    hu[..., 32, 32] = 65.0
    contrast = channels(hu)[0, CONTRAST]
    around = (224 * 35 + 65) / 225  # a square of 15 x 15 pixels
    assert contrast[32, 32] == pytest.approx((65 - around) / 40, abs=1e-3)
    assert contrast[32, 39] == pytest.approx((35 - around) / 40, abs=1e-3)
    assert contrast[32, 40] == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("beside", [-1000.0, 1200.0])
def test_bone_and_air_do_not_enter_the_local_mean(beside: float) -> None:
    hu = torch.full((1, 1, 64, 64), 35.0)
    hu[..., 32:] = beside
    contrast = channels(hu)[0, CONTRAST]
    assert contrast[20:40, 31].abs().max() < 2e-3
    assert contrast[20:40, 32:].abs().max() < 2e-3


def test_every_whole_hu_on_the_wire_is_exact_in_fp16() -> None:
    every_hu = torch.arange(-1024, 2048, dtype=torch.float32).reshape(1, 1, 48, 64)
    assert torch.equal(channels(every_hu.half()), channels(every_hu))


def test_channels_of_neighbouring_slices_stand_together() -> None:
    hu = torch.stack([torch.full((32, 32), value) for value in (0.0, 40.0, 80.0)])[None]
    found = channels(hu)[0, :, 16, 16]
    assert len(found) == channel_count(3) == 12
    np.testing.assert_allclose(found[:6], [-1, 0, 1, -0.8, -0.4, 0.0], atol=1e-6)
