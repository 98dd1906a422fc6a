"""What every room's tests share: the committed bundle, real head CT, a real server, allowed skips.

Where the environment variable CI is set, a skip outside `skips.txt` fails the session: a test that
quietly stops running is no test.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ichclient.golden import Golden
    from ichclient.process import RunningServer
    from ichcore import EnsembleSpec, Grid

CHECKOUT = Path(__file__).parents[1]
HEAD_CT = CHECKOUT.parent / "shared" / "data" / "head_ct"
SKIPS = Path(__file__).with_name("skips.txt")

FORBIDDEN_SKIPS = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    # A shell starts background jobs with Ctrl-C ignored, and every child would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    config.stash[FORBIDDEN_SKIPS] = []
    config.pluginmanager.register(SkipWatch(config), "skip-watch")


class SkipWatch:
    """Notes every skip that `skips.txt` does not allow, of tests and of whole files."""

    def __init__(self, config: pytest.Config) -> None:
        lines = SKIPS.read_text(encoding="utf-8").splitlines()
        self._allowed = [line for line in lines if line and not line.startswith("#")]
        self._forbidden = config.stash[FORBIDDEN_SKIPS]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if not hasattr(report, "wasxfail"):
            self._note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._note(report)

    def _note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if not report.skipped or not os.environ.get("CI"):
            return
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        skip = f"{report.nodeid}: {str(reason).removeprefix('Skipped: ')}"
        if not any(fnmatchcase(skip, pattern) for pattern in self._allowed):
            self._forbidden.append(skip)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if session.config.stash[FORBIDDEN_SKIPS] and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if forbidden := config.stash[FORBIDDEN_SKIPS]:
        terminalreporter.section("skips outside tests/skips.txt", red=True)
        for skip in forbidden:
            terminalreporter.line(skip)


def head_ct(name: str) -> Path:
    """A folder of real head CT, which lies beside the checkout and not in it."""
    folder = HEAD_CT / name
    if not folder.is_dir():
        pytest.skip(f"real head CT is absent: no {folder.relative_to(CHECKOUT.parent)}")
    return folder


@pytest.fixture(scope="session")
def head_ct_ge() -> Path:
    """A human head CT of a GE scanner."""
    return head_ct("ge")


@pytest.fixture(scope="session")
def head_ct_philips() -> Path:
    """A study of a head phantom on a Philips scanner, several series."""
    return head_ct("philips")


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The folder that holds `pyproject.toml`."""
    return CHECKOUT


@pytest.fixture(scope="session")
def bundle() -> Path:
    """The committed model repository."""
    return CHECKOUT / "model_repository"


@pytest.fixture(scope="session")
def released_spec(bundle: Path) -> EnsembleSpec:
    """The ensemble spec of the committed repository."""
    from ichexport.repository import spec_of_repository

    return spec_of_repository(bundle)


@pytest.fixture(scope="session")
def golden(bundle: Path) -> Golden:
    """The committed golden slices with their recorded answers."""
    from ichclient.golden import golden_from_file

    return golden_from_file(bundle / "golden.npz")


@pytest.fixture(scope="session")
def make_hu() -> Callable[..., NDArray[np.float16]]:
    """Heads as the wire wants them: whole HU, FP16, [N, S, R, C], another head for each seed."""

    def hu(grid: Grid, slices: int = 2, seed: int = 0) -> NDArray[np.float16]:
        rng = np.random.default_rng(seed)
        shape = (slices, grid.slices_per_item, grid.rows, grid.columns)
        rows, columns = np.mgrid[-1 : 1 : grid.rows * 1j, -1 : 1 : grid.columns * 1j]
        radius = np.hypot(rows * rng.uniform(1.0, 1.4), columns * rng.uniform(1.0, 1.4))
        plane = np.where(radius < 0.8, 33.0, np.where(radius < 0.9, 900.0, -1000.0))
        row, column = rng.uniform(-0.4, 0.4, 2)
        plane[np.hypot(rows - row, columns - column) < rng.uniform(0.05, 0.3)] = 68.0
        noisy = plane + rng.normal(0, 6, shape)
        return np.clip(np.rint(noisy), -1024, 2047).astype(np.float16)

    return hu


@pytest.fixture(scope="session")
def served(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """The real embedded Triton on the committed repository, one for the whole session."""
    from ichclient.process import running_server

    log_path = tmp_path_factory.mktemp("served") / "triton.log"
    with running_server(bundle, log_path=log_path, http=True, stop_deadline_s=0) as server:
        yield server
