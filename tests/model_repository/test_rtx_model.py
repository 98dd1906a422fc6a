"""The members' TensorRT-RTX adapter, as far as it goes without a GPU: how it refuses to load."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cuda.bindings import runtime as cuda

from ichclient.errors import EmbeddedServerError
from ichclient.process import running_server

MEMBERS = ["ich_any", "ich_sdh", "ich_sah", "ich_small"]


@pytest.fixture(autouse=True)
def without_gpu() -> None:
    status, count = cuda.cudaGetDeviceCount()
    if status == cuda.cudaError_t.cudaSuccess and count:
        pytest.skip("needs a machine without an NVIDIA GPU")


@pytest.fixture
def copy(bundle: Path, tmp_path: Path) -> Path:
    """The committed repository with files where engines would lie."""
    copy = shutil.copytree(bundle, tmp_path / "repository")
    for name in MEMBERS:
        (copy / name / "1" / "model.rtx").write_bytes(b"ptrt")
        shutil.copy(
            copy / name / "1" / "model.onnx.build.json", copy / name / "1" / "model.rtx.build.json"
        )
    return copy


def test_a_missing_driver_ends_in_one_sentence(load_model: Callable[..., Any], copy: Path) -> None:
    with pytest.raises(Exception, match=r"cannot load .*model\.rtx: .*cudaError") as refusal:
        load_model("ich_any", copy, "rtx.py")
    assert type(refusal.value).__name__ == "TritonModelException"
    assert "NVIDIA driver" in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.triton
def test_the_real_server_reads_the_config_and_hands_that_sentence_on(
    copy: Path, tmp_path: Path
) -> None:
    log_path = tmp_path / "triton.log"
    with (
        pytest.raises(EmbeddedServerError, match=r"TensorRT-RTX cannot load .*model\.rtx"),
        running_server(copy, log_path=log_path, model_config_name="rtx", stop_deadline_s=0),
    ):
        pass


def test_adapter_is_the_same_in_every_member(bundle: Path) -> None:
    assert len({(bundle / name / "1" / "rtx.py").read_bytes() for name in MEMBERS}) == 1
