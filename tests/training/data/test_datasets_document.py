"""docs/datasets.md says what the code does: columns, vocabulary and commands."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from ichtrain.cli import main
from ichtrain.data.readers.masks import TABLE_COLUMNS
from ichtrain.data.readers.rsna import CORRUPT, LABEL_OF
from ichtrain.data.rows import COLUMNS
from ichtrain.data.series import ANNOTATIONS, SPLITS, VISIBLE_LESION_MM2

DOCUMENT = (Path(__file__).parents[3] / "docs" / "datasets.md").read_text(encoding="utf-8")


def test_the_columns_are_those_of_the_code_in_their_order() -> None:
    lines = DOCUMENT.partition("## The manifest")[2].partition("\n## ")[0].splitlines()
    table = [line.strip("|").split("|") for line in lines if line.startswith("| `")]
    names = [name.strip(" `") for cells in table for name in cells[0].split(",")]
    empty = {
        name.strip(" `"): cells[1].strip() == "yes"
        for cells in table
        for name in cells[0].split(",")
    }
    assert names == list(COLUMNS)
    assert empty == COLUMNS


@pytest.mark.parametrize(
    "word",
    [*SPLITS, *ANNOTATIONS, *TABLE_COLUMNS, *LABEL_OF, *CORRUPT, f"{VISIBLE_LESION_MM2:g} mm2"],
)
def test_every_word_of_the_vocabulary_is_explained(word: str) -> None:
    assert word in DOCUMENT


def commands() -> list[tuple[str, click.Command]]:
    group = main.commands["manifest"]
    assert isinstance(group, click.Group)
    named = [(f"ichtrain manifest {name}", command) for name, command in group.commands.items()]
    return [*named, ("ichtrain prepare", main.commands["prepare"])]


@pytest.mark.parametrize(("name", "command"), commands(), ids=lambda item: str(item))
def test_every_command_is_shown_and_every_option_shown_exists(
    name: str, command: click.Command
) -> None:
    shown = [line for line in DOCUMENT.splitlines() if line.startswith(name)]
    assert shown, f"docs/datasets.md shows no `{name}`"
    known = {option for parameter in command.params for option in parameter.opts}
    used = {word for line in shown for word in line.split() if word.startswith("--")}
    assert used <= known
