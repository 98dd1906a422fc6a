"""The whole comparison at its tiniest: two encoders, two steps each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ichtrain.cli import main


@dataclass(frozen=True)
class Run:
    """A folder that `ichtrain reproduce` filled, and what the command said."""

    out: Path
    result: Result


def reproduced(out: Path) -> Result:
    return CliRunner().invoke(
        main, ["reproduce", str(out), "--budget", "tiny", "--workers", "1"], catch_exceptions=False
    )


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One run of the budget that tests have for themselves."""
    out = tmp_path_factory.mktemp("reproduce")
    return Run(out, reproduced(out))
