"""Trained module -> safetensors -> the same module; nothing else is ever read."""

from __future__ import annotations

import hashlib
import json
import pickle
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import nn

from ichexport.errors import IchExportError
from ichexport.members import Member, MemberOptions
from ichexport.weights import member_from_file, weights_to_file


def test_round_trip_is_equal_to_the_last_bit(small_member: Member, tmp_path: Path) -> None:
    path = tmp_path / "new" / "ich_any.safetensors"
    sha256 = weights_to_file(small_member, path)
    assert sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    read = member_from_file(path)
    assert read.options == small_member.options
    assert not read.training
    expected = small_member.state_dict()
    assert read.state_dict().keys() == expected.keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in read.state_dict().items())
    assert weights_to_file(read, tmp_path / "again.safetensors") == sha256


def test_released_values_are_fp16(small_member: Member) -> None:
    floats = [tensor for tensor in small_member.state_dict().values() if tensor.is_floating_point()]
    assert floats
    assert all(torch.equal(tensor.half().float(), tensor) for tensor in floats)


def test_folding_batch_norms_keeps_the_outputs(
    trained_member: Member, small_member: Member, small_hu: NDArray[np.float16]
) -> None:
    assert any(isinstance(module, nn.BatchNorm2d) for module in trained_member.modules())
    assert not any(isinstance(module, nn.BatchNorm2d) for module in small_member.modules())
    hu = torch.from_numpy(small_hu)
    with torch.inference_mode():
        before, after = trained_member.logits(hu)[1], small_member.logits(hu)[1]
    # What is left is the rounding of weights to FP16, 1 in 2000 each.
    assert (after - before).abs().mean() < 0.01 * before.std()


@pytest.mark.parametrize("content", [b"", b"no weights", pickle.dumps({"a": [1.0]})])
def test_files_that_are_no_safetensors_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "ich_any.safetensors"
    path.write_bytes(content)
    with pytest.raises(IchExportError, match="holds no member weights"):
        member_from_file(path)


def test_a_pickle_of_torch_is_never_loaded(small_member: Member, tmp_path: Path) -> None:
    path = tmp_path / "ich_any.safetensors"
    torch.save(small_member.state_dict(), path)
    with pytest.raises(IchExportError, match="holds no member weights"):
        member_from_file(path)


OPTIONS_ALONE = json.dumps(asdict(MemberOptions(encoder_depth=3, decoder_channels=(32, 16))))


@pytest.mark.parametrize(
    "options", [None, "", "[]", "{}", '{"encoder": "mobilenet_v2"}', OPTIONS_ALONE]
)
def test_safetensors_of_another_network_are_refused(tmp_path: Path, options: str | None) -> None:
    path = tmp_path / "ich_any.safetensors"
    metadata = None if options is None else {"member_options": options}
    save_file({"a": torch.zeros(2)}, path, metadata=metadata)
    with pytest.raises(IchExportError, match="holds no member weights") as refusal:
        member_from_file(path)
    assert "\n" not in str(refusal.value)


def test_an_absent_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IchExportError, match="holds no member weights"):
        member_from_file(tmp_path / "absent.safetensors")
