"""The script of the engine-build image: a proven repository, or none that may be served."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from ichclient.repository import pinned_sha256, verified_by_manifest

NOT_INSTALLED = 9


@pytest.fixture
def build(checkout: Path, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """The script in its default, for TensorRT, into an empty volume."""
    program = tmp_path / "bin" / "ichexport"
    program.parent.mkdir()
    text = f"#!{sys.executable}\nfrom ichexport.cli import main\nmain(prog_name='ichexport')\n"
    program.write_text(text)
    program.chmod(0o755)
    (program.parent / "python3").symlink_to(sys.executable)
    volume = tmp_path / "models"
    volume.mkdir()
    return subprocess.run(
        ["sh", str(checkout / "docker/build-engines.sh"), str(volume), str(tmp_path / "cache")],
        env={
            **os.environ,
            "PATH": f"{program.parent}:{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join(sys.path),
        },
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.skipif(find_spec("tensorrt") is not None, reason="TensorRT is installed here")
def test_without_tensorrt_nothing_is_built_and_the_release_stays_whole(
    build: subprocess.CompletedProcess[str], tmp_path: Path
) -> None:
    assert build.returncode == NOT_INSTALLED, build.stderr
    assert "TensorRT is not installed" in build.stderr
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["model_repository"]
    verified_by_manifest(tmp_path / "models" / "model_repository", pinned_sha256())
