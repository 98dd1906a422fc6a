"""Two versions under the real Triton: the canary beside the ensemble, promoted and rolled back."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from click.testing import Result
from numpy.typing import NDArray

from ichexport.engines import openvino_has_bf16
from ichexport.repository import spec_of_repository

if TYPE_CHECKING:
    from ichclient.process import RunningServer

pytestmark = pytest.mark.triton

Tensors = dict[str, NDArray[np.generic]]
Run = Callable[..., Result]


@contextmanager
def serving(repository: Path) -> Iterator[RunningServer]:
    from ichclient.process import running_server

    log = repository.parent.parent / "triton.log"
    with running_server(repository, log_path=log, stop_deadline_s=0) as server:
        yield server


def ask(server: RunningServer, model: str, inputs: Tensors) -> Tensors:
    from tritonclient import grpc
    from tritonclient.utils import np_to_triton_dtype

    tensors = []
    for name, values in inputs.items():
        tensor = grpc.InferInput(name, values.shape, np_to_triton_dtype(values.dtype))
        tensor.set_data_from_numpy(values)
        tensors.append(tensor)
    with grpc.InferenceServerClient(server.url) as client:
        answer = client.infer(model, tensors, client_timeout=20)
        return {o.name: np.array(answer.as_numpy(o.name)) for o in answer.get_response().outputs}


def study_of(server: RunningServer, slices: Tensors) -> str:
    """The provenance of the study that `ich_study` makes of slices."""
    names = ("SCORE", "LESION_MM2", "BRAIN_MM2", "PROVENANCE")
    request = {name: np.ascontiguousarray(slices[name].reshape(-1)) for name in names}
    request["MEMBER_SCORES"] = slices["MEMBER_SCORES"]
    request["POSITION_MM"] = np.arange(len(request["SCORE"]), dtype=np.float32) * np.float32(5)
    return spec_named(ask(server, "ich_study", request)["PROVENANCE"][0])


def spec_named(provenance: bytes) -> str:
    return provenance.decode().split()[0].removeprefix("spec:")


@pytest.fixture
def site(with_candidate: Path, tmp_path: Path) -> Path:
    """Version 1 is served, 2 is its candidate."""
    return shutil.copytree(with_candidate, tmp_path / "site" / "repository")


def assert_is(server: RunningServer, model: str, repository: Path, version: int) -> Tensors:
    """Hold what a model says of golden slices against what was recorded for the version."""
    spec = spec_of_repository(repository, version)
    goldens = [*repository.glob("golden*.npz")]
    for path in goldens:
        with np.load(path) as golden:
            if str(golden["SPEC_SHA256"]) == spec.sha256:
                found = ask(server, model, {"HU": golden["HU"]})
                tolerance = 0.02 if openvino_has_bf16() else 1e-3
                np.testing.assert_allclose(found["SCORE"], golden["SCORE"], atol=tolerance)
                assert spec_named(found["PROVENANCE"][0, 0]) == spec.sha256[:16]
                return found
    raise AssertionError(f"no golden slices of version {version}")


def test_promote_and_rollback_move_a_server_and_harm_none(site: Path, done: Run) -> None:
    first, second = (spec_of_repository(site, number).sha256[:16] for number in (1, 2))
    with serving(site) as server:
        before = assert_is(server, "ich_ensemble", site, 1)
        assert_is(server, "ich_fused", site, 1)
        canary = assert_is(server, "ich_canary", site, 2)
        assert np.abs(before["SCORE"] - canary["SCORE"]).max() > 0.1
        assert (study_of(server, before), study_of(server, canary)) == (first, second)

        done("promote", "--repository", site)
        for model, version in (("ich_ensemble", 1), ("ich_fused", 1), ("ich_canary", 2)):
            assert_is(server, model, site, version)
        assert study_of(server, before) == first

    with serving(site) as server:
        after = assert_is(server, "ich_ensemble", site, 2)
        assert_is(server, "ich_fused", site, 2)
        assert study_of(server, after) == second
        refuses_slices_of_others(server, before)
        done("rollback", "--repository", site)
        assert_is(server, "ich_ensemble", site, 2)

    with serving(site) as server:
        assert_is(server, "ich_ensemble", site, 1)
        assert_is(server, "ich_fused", site, 1)
        assert study_of(server, before) == first


def refuses_slices_of_others(server: RunningServer, slices: Tensors) -> None:
    from tritonclient.utils import InferenceServerException

    with pytest.raises(InferenceServerException, match="release members, combination and study"):
        study_of(server, slices)
