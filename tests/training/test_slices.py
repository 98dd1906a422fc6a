"""`ichtrain slices`: what `ichexport build` compares and calibrates on, from heads of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from click.testing import CliRunner

from ichcore import EnsembleSpec, Grid
from ichexport.studies import studies_from_file
from ichtrain.cli import main
from ichtrain.slices import SlicesPlan

GRID = Grid(rows=64, columns=64, pixel_spacing_mm=4.0)


def test_the_build_reads_what_the_command_writes(
    tmp_path: Path, released_spec: EnsembleSpec
) -> None:
    path = tmp_path / "slices.npz"
    command = ["slices", str(path), "--count", "3", "--slices", "12"]
    grid = ["--grid-pixels", "64", "--pixel-spacing-mm", "4"]
    answer = CliRunner().invoke(main, [*command, *grid, "--kind", "normal", "--kind", "iph"])
    assert answer.exit_code == 0, answer.output
    studies = studies_from_file(path, replace(released_spec, grid=GRID))
    parts = list(studies.parts())
    assert len(parts) == 3
    assert studies.truth is not None
    assert studies.truth.tolist() == [False, True, False]
    for part in parts:
        assert (np.diff(studies.position_mm[part]) > 0).all()
    assert [each.name for each in tmp_path.iterdir()] == ["slices.npz"]


def test_no_head_serves_two_purposes() -> None:
    seeds = [
        {options.seed for options in SlicesPlan(purpose, count=500).options()}
        for purpose in ("compare", "calibrate")
    ]
    assert not seeds[0] & seeds[1]
