"""The wheel carries the whole CPU bundle and works from a folder that has no checkout beside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

MAX_MIB = 30

# A model that says where the stub of the server found ichcore.
CONFIG = """
name: "where"
backend: "python"
max_batch_size: 0
input [{ name: "ANY" data_type: TYPE_FP32 dims: [1] }]
output [{ name: "PATH" data_type: TYPE_STRING dims: [1] }]
instance_group [{ count: 1 kind: KIND_CPU }]
"""
MODEL = """
import numpy as np
import triton_python_backend_utils as pb_utils

import ichcore


class TritonPythonModel:
    def execute(self, requests):
        path = pb_utils.Tensor("PATH", np.array([ichcore.__file__.encode()], dtype=np.object_))
        return [pb_utils.InferenceResponse([path]) for _ in requests]
"""
ASK = """
import sys
from pathlib import Path

import numpy as np
from tritonclient.grpc import InferenceServerClient, InferInput

from ichclient.process import running_server

here = Path(sys.argv[1])
with running_server(here / "repository", log_path=here / "log", stop_deadline_s=0) as server:
    tensor = InferInput("ANY", [1], "FP32")
    tensor.set_data_from_numpy(np.zeros(1, dtype=np.float32))
    with InferenceServerClient(server.url) as client:
        print(client.infer("where", [tensor]).as_numpy("PATH")[0].decode())
"""

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built of the checkout with what is installed here; needs no network."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder]
    built = subprocess.run(
        [*command, checkout], capture_output=True, text=True, check=False, cwd=folder
    )
    assert built.returncode == 0, built.stdout + built.stderr
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip installed the wheel alone."""
    folder = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    done = subprocess.run(
        [*command, "--disable-pip-version-check", "--target", folder, wheel],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def run(installed: Path, tmp_path: Path) -> Run:
    """Runs this Python from an empty folder; it sees the installed wheel before the checkout."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir(exist_ok=True)
        return subprocess.run(
            [sys.executable, "-P", *map(str, arguments)],
            cwd=elsewhere,
            env={**os.environ, "PYTHONPATH": str(installed)},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_wheel_carries_the_bundle_to_the_last_file(wheel: Path, bundle: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        for line in (bundle / "MANIFEST.sha256").read_text().splitlines():
            name = line.split("  ")[1]
            packed = archive.read(f"ichclient/model_repository/{name}")
            assert packed == (bundle / name).read_bytes(), name
    assert "ichclient/model_repository/MANIFEST.sha256" in names
    assert "ichclient/model_repository.sha256" in names
    assert not [name for name in names if name.endswith(".pyc")]


def test_wheel_is_typed_licensed_and_small(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for package in ("ichcore", "ichclient", "ichexport", "ichtrain"):
        assert f"{package}/__init__.py" in names
    assert {"ichcore/py.typed", "ichclient/py.typed", "ichexport/py.typed"} <= names
    licences = {Path(name).name for name in names if ".dist-info/licenses/" in name}
    assert licences == {"LICENSE", "LICENSE-WEIGHTS"}
    assert not [name for name in names if name.startswith(("tests/", "examples/", "."))]
    assert wheel.stat().st_size < MAX_MIB * 2**20


def test_installed_bundle_is_found_and_unaltered(run: Run, installed: Path) -> None:
    code = "from ichclient.repository import verified_repository; print(verified_repository())"
    found = run("-c", code)
    assert found.returncode == 0, found.stderr
    assert Path(found.stdout.strip()) == (installed / "ichclient" / "model_repository").resolve()


def test_installed_client_says_its_version(run: Run) -> None:
    answer = run("-m", "ichclient", "--version")
    assert answer.returncode == 0, answer.stderr
    assert "ichclient, version 0." in answer.stdout


@pytest.mark.triton
def test_the_server_imports_what_was_installed(run: Run, installed: Path, tmp_path: Path) -> None:
    version = tmp_path / "repository" / "where" / "1"
    version.mkdir(parents=True)
    (version / "model.py").write_text(MODEL)
    (version.parent / "config.pbtxt").write_text(CONFIG)
    answer = run("-c", ASK, tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert Path(answer.stdout.strip()) == installed.resolve() / "ichcore" / "__init__.py"


@pytest.mark.triton
def test_installed_client_judges_the_example(run: Run, checkout: Path, installed: Path) -> None:
    study = checkout / "examples" / "phantom-sdh"
    answer = run("-m", "ichclient", "infer", study, "--json")
    assert answer.returncode == 0, answer.stderr
    result = json.loads(answer.stdout)
    assert len(result["slices"]) == len(list(study.glob("*.dcm")))
    assert 0 <= result["study_score"] <= 1
