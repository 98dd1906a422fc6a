"""`--model-config-name=cpu_int8` under the real Triton: what `ichexport build` made in INT8."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

from ichclient.errors import EmbeddedServerError
from ichclient.process import running_server
from ichclient.proof import Proof
from ichclient.transport import TritonTransport
from ichcore import EnsembleSpec
from ichexport.cli import main
from ichexport.gate import LIMITS
from ichexport.repository import check_repository

if TYPE_CHECKING:
    from ichclient.golden import Golden

pytestmark = pytest.mark.triton

ENGINE = "model.int8.onnx"


@pytest.fixture(scope="module")
def quantised(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The committed repository with every engine built in INT8."""
    repository = tmp_path_factory.mktemp("int8") / "repository"
    shutil.copytree(bundle, repository, ignore=shutil.ignore_patterns("__pycache__"))
    command = ["build", "--target", "openvino", "--precision", "int8", "--no-cache"]
    answer = CliRunner().invoke(main, [*command, "--repository", str(repository)])
    assert answer.exit_code == 0, answer.stderr
    check_repository(repository)
    return repository


def test_every_engine_has_its_record(quantised: Path, released_spec: EnsembleSpec) -> None:
    members = len(released_spec.members)
    for model, parts in (*((n, 1) for n in released_spec.member_names), ("ich_fused_engine", 4)):
        record = json.loads((quantised / model / "1" / f"{ENGINE}.build.json").read_text())
        assert record["layers"]["count"] == {"f32": 2 * parts, "int8": 44 * parts}
        assert record["layers"]["read_from"] == "the compiled model"
        assert len(record["left_in_f32"]) == 2 * parts
        assert record["calibration"]["slices"] == 8
        assert record["parity"]["engine"] == "passed"
        difference = record["parity"]["difference"]
        assert 1e-4 < difference["largest_score_difference"] <= LIMITS["quantised"].score
        assert set(difference["decisions_changed"].values()) == {0}
        released = (quantised / model / "1" / "model.onnx").stat().st_size
        assert record["engine_bytes"] < 0.75 * released
    assert members == 4


def test_the_real_server_serves_what_was_built(
    quantised: Path,
    ask: Callable[..., dict[str, NDArray[np.generic]]],
    golden: Golden,
    served: Any,
    tmp_path: Path,
) -> None:
    log_path = tmp_path / "triton.log"
    with running_server(
        quantised, log_path=log_path, model_config_name="cpu_int8", stop_deadline_s=0
    ) as server:
        answers = {
            model: ask(model, {"HU": golden.hu}, server=server)
            for model in ("ich_ensemble", "ich_fused")
        }
        with TritonTransport(server.url) as transport:
            assert transport.metadata().int8
            Proof(golden).refuse_untrue_server(transport)
    plain = ask("ich_ensemble", {"HU": golden.hu})
    with TritonTransport(served.url) as transport:
        assert not transport.metadata().int8
    for found in answers.values():
        differences = np.abs(found["SCORE"].ravel() - golden.score)
        assert 1e-4 < differences.max() <= LIMITS["quantised"].score
        members = np.abs(found["MEMBER_SCORES"] - golden.member_scores)
        assert members.max() <= LIMITS["quantised"].score
        # Its provenance names other engines than those of the default target.
        assert found["PROVENANCE"][0, 0] != plain["PROVENANCE"][0, 0]
        assert found["PROVENANCE"][0, 0].split()[0] == plain["PROVENANCE"][0, 0].split()[0]


def test_without_such_engines_the_server_says_what_to_build(bundle: Path, tmp_path: Path) -> None:
    log_path = tmp_path / "triton.log"
    server: Any = running_server(
        bundle, log_path=log_path, model_config_name="cpu_int8", stop_deadline_s=0
    )
    with pytest.raises(EmbeddedServerError, match=r"model\.int8\.onnx"), server:
        pass
    assert "ichexport build" in log_path.read_text()
