"""Where CI is set, a skip outside the committed list fails the session."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FILES = {
    "test_gpu.py": "import pytest\n\ndef test() -> None:\n    pytest.skip('needs an NVIDIA GPU')\n",
    "test_data.py": "import pytest\n\ndef test() -> None:\n    pytest.skip('a file is absent')\n",
    "test_whole.py": "import pytest\n\npytest.importorskip('a_module_that_is_absent')\n",
    "test_runs.py": "def test() -> None:\n    pass\n",
}


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """A suite under our own conftest.py, with one allowed skip and two others."""
    for name in ("conftest.py", "skips.txt"):
        shutil.copy(Path(__file__).with_name(name), tmp_path)
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def session_of(suite: Path, ci: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "--rootdir", "."],
        cwd=suite,
        env={**os.environ, "CI": ci, "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        check=False,
    )


def test_skips_outside_the_list_fail_in_ci(suite: Path) -> None:
    session = session_of(suite, ci="true")
    assert session.returncode == pytest.ExitCode.TESTS_FAILED, session.stdout + session.stderr
    _, _, listed = session.stdout.partition("skips outside tests/skips.txt")
    assert "test_data.py::test: a file is absent" in listed
    assert "test_whole.py: could not import" in listed
    assert "GPU" not in listed


def test_skips_are_free_elsewhere(suite: Path) -> None:
    session = session_of(suite, ci="")
    assert session.returncode == pytest.ExitCode.OK, session.stdout + session.stderr
    assert "1 passed, 3 skipped" in session.stdout
