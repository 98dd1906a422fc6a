"""Four encoders, strong and weak: what a member gives, and that folding does not change it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from ichcore import Grid
from ichcore.errors import ContractError
from ichexport.engines import onnxruntime_from_onnx, openvino_from_onnx
from ichexport.errors import IchExportError
from ichexport.folding import unfold_batch_norms
from ichexport.graph import onnx_from_member
from ichexport.members import (
    BRAIN,
    ENCODERS,
    Member,
    MemberOptions,
    options_from_encoder,
    output_names,
)
from ichexport.parity import parity_from_runners, torch_from_member
from ichexport.weights import member_from_file, released_from_trained, weights_to_file

GRID = Grid(rows=64, columns=64, pixel_spacing_mm=4.0)
THREE = Grid(rows=64, columns=64, pixel_spacing_mm=4.0, slices_per_item=3)
MakeHU = Callable[..., NDArray[np.float16]]


def lively(options: MemberOptions, hu: torch.Tensor) -> Member:
    """A member whose batch norms have seen `hu` and are far from the identity."""
    torch.manual_seed(5)
    member = Member(options).train()
    for module in member.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
            nn.init.uniform_(module.weight, 0.7, 1.5)
            nn.init.uniform_(module.bias, -0.2, 0.2)
    with torch.no_grad():
        member(hu)
    return member.eval()


@pytest.mark.parametrize("encoder", ENCODERS)
def test_every_encoder_says_the_same_folded_and_unfolded_again(
    encoder: str, make_hu: MakeHU
) -> None:
    hu = torch.from_numpy(make_hu(GRID, slices=2, seed=2))
    annotation = "weak" if encoder == "inceptionresnetv2" else "strong"
    member = lively(options_from_encoder(encoder, annotation=annotation, grid=GRID), hu)
    with torch.inference_mode():
        before = member(hu)
    released = released_from_trained(member)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in released.modules())
    fresh = Member(member.options).eval()
    unfold_batch_norms(fresh, released, [hu])
    with torch.inference_mode():
        folded, unfolded = released(hu), fresh(hu)
    for was, now, back in zip(before, folded, unfolded, strict=True):
        torch.testing.assert_close(now, was, atol=0.05, rtol=0.05)
        torch.testing.assert_close(back, now, atol=2e-3, rtol=1e-3)


def test_layers_past_the_depth_are_no_part_of_a_member() -> None:
    light = Member(options_from_encoder("mobilenet_v2", grid=GRID))
    weak = Member(options_from_encoder("mobilenet_v2", annotation="weak", grid=GRID))

    def size(network: nn.Module) -> int:
        return sum(parameter.numel() for parameter in network.parameters())

    assert size(light.encoder) < 0.4 * size(weak.encoder)
    hu = torch.zeros((2, 1, 64, 64))
    light.logits(hu)[0].sum().backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is not None for parameter in light.parameters())


def test_nothing_outside_the_skull_raises_the_score(make_hu: MakeHU) -> None:
    member = Member(options_from_encoder("mobilenet_v2", grid=GRID)).eval()
    hu = torch.from_numpy(make_hu(GRID, slices=2, seed=3))
    with torch.inference_mode():
        open_logit, head = member.logits(hu)
        member.head.bias[BRAIN] = -30.0  # type: ignore[index]
        shut_logit, shut_head = member.logits(hu)
        mask = member(hu)[1]
    assert head.shape == (2, 2, 32, 32)
    assert (shut_logit < open_logit - 20).all()
    torch.testing.assert_close(mask, torch.sigmoid(shut_head[:, 0]).half())


@pytest.mark.parametrize("with_brain", [False, True])
def test_brain_is_learned_always_and_given_when_asked(with_brain: bool) -> None:
    options = options_from_encoder("mobilenet_v2", with_brain=with_brain, grid=THREE)
    member = Member(options).eval()
    with torch.inference_mode():
        outputs = member(torch.zeros((1, 3, 64, 64)))
    names = ("LOGIT", "MASK", "BRAIN") if with_brain else ("LOGIT", "MASK")
    assert output_names(options) == names
    assert [tuple(tensor.shape) for tensor in outputs[1:]] == [(1, 32, 32)] * (len(names) - 1)
    assert member.head.out_channels == 2


def test_a_weak_member_of_three_slices_is_exported_with_a_logit_alone(
    make_hu: MakeHU, tmp_path: Path
) -> None:
    hu = make_hu(THREE, slices=3, seed=1)
    options = options_from_encoder("mobilenet_v2", annotation="weak", grid=THREE)
    weights, graph = tmp_path / "weak.safetensors", tmp_path / "model.onnx"
    weights_to_file(released_from_trained(lively(options, torch.from_numpy(hu))), weights)
    member = member_from_file(weights)
    assert member.options == options
    onnx_from_member(member, graph)
    for runtime in (onnxruntime_from_onnx, openvino_from_onnx):
        run = runtime(graph)
        assert set(run(hu)) == {"LOGIT"}
        parity_from_runners(torch_from_member(member), run, hu)


@pytest.mark.parametrize(
    "fields",
    [
        {"encoder": "resnet50"},
        {"annotation": "some"},
        {"annotation": "weak"},
        {"annotation": "weak", "decoder_channels": (), "with_brain": True},
        {"encoder_depth": 5},
    ],
)
def test_networks_that_cannot_be_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ContractError):
        MemberOptions(**fields)  # type: ignore[arg-type]


def test_weights_that_diverged_are_not_released(small_member: Member, tmp_path: Path) -> None:
    member = copy.deepcopy(small_member)
    with torch.no_grad():
        member.head.weight[0, 0] = 1e6
    with pytest.raises(IchExportError, match=r"head\.weight .* diverged"):
        released_from_trained(member)


def test_a_full_disk_leaves_the_old_weights(
    small_member: Member, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ich_any.safetensors"
    path.write_bytes(b"old")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ichexport.files.os.fsync", full)
    with pytest.raises(IchExportError, match="No space left"):
        weights_to_file(small_member, path)
    assert path.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["ich_any.safetensors"]
