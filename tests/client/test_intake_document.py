"""`docs/intake.md` says what the code does: its traps, their tests, each rule, each default."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from ichclient.rules import RULES, Rule
from ichclient.site import Limits, Words

CHECKOUT = Path(__file__).parents[2]
TEXT = (CHECKOUT / "docs" / "intake.md").read_text(encoding="utf-8")
TRAPS_FILE = "test_intake_traps.py"
# What is said of a whole run, not found in a study.
NO_FINDINGS = {"server_interrupted", "slab_averaged", "slab_not_needed"}
SHOWN = {"skip": "skipped", "refuse": "refused", "fix": "fixed", "warn": "warned"}


def rows(head: str) -> Iterator[list[str]]:
    """The cells of every table whose head begins so, without its two head lines."""
    for table in re.findall(rf"^\| {head} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", TEXT, re.MULTILINE):
        for line in table.splitlines():
            yield [cell.strip() for cell in line.strip("|").split("|")]


def in_ticks(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


TRAPS = list(rows("trap"))
RULE_OF = {rule.code: rule for rule in RULES}
NAMED_TESTS = sorted({name for trap in TRAPS for name in in_ticks(trap[4])})


def test_the_table_of_traps_is_read() -> None:
    assert len(TRAPS) > 75
    assert all(len(trap) == 5 and all((trap[0], trap[1], trap[2], trap[4])) for trap in TRAPS)


def test_every_rule_is_in_the_table_of_traps_once() -> None:
    told = [code for trap in TRAPS for code in in_ticks(trap[3])]
    assert sorted(told) == sorted(RULE_OF)


@pytest.mark.parametrize("trap", [trap for trap in TRAPS if trap[3]], ids=lambda trap: trap[3])
def test_a_trap_is_told_with_what_its_rule_does_and_the_test_that_takes_it_out(
    trap: list[str],
) -> None:
    (code,) = in_ticks(trap[3])
    rule = RULE_OF[code]
    assert SHOWN[rule.effect] in trap[2]
    assert f"{TRAPS_FILE}[{code}]" in in_ticks(trap[4])
    assert ("allowed" in trap[2]) == (rule.passes != "never")


@pytest.mark.parametrize("name", NAMED_TESTS)
def test_every_named_test_exists(name: str) -> None:
    file, code, function = re.fullmatch(r"(\w+\.py)(?:\[(\w+)\]|::(\w+))", name).groups()  # type: ignore[union-attr]
    (path,) = Path(__file__).parent.rglob(file)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if function:
        assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        return
    assert file == TRAPS_FILE
    (made,) = [
        node.value
        for node in tree.body
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "TRAPS"
    ]
    assert isinstance(made, ast.Dict)
    assert code in [ast.literal_eval(key) for key in made.keys if key is not None]


def test_what_may_be_let_through_is_told() -> None:
    told = {in_ticks(code)[0]: (allow, named) for code, allow, named in rows("code")}

    def passes(rule: Rule) -> tuple[str, str]:
        return "yes", "yes" if rule.passes == "name" else "no"

    assert told == {rule.code: passes(rule) for rule in RULES if rule.passes != "never"}


def test_every_limit_is_told_with_its_default() -> None:
    told = {in_ticks(name)[0]: default for name, default, _ in rows("limit")}
    assert told == {field.name: str(getattr(Limits(), field.name)) for field in fields(Limits)}


@pytest.mark.parametrize("name", [field.name for field in fields(Words)])
def test_the_default_words_of_a_kind_are_told(name: str) -> None:
    block = f"\n{name}\n" + "".join(f"    {word}\n" for word in getattr(Words(), name))
    assert block in TEXT


def test_every_code_that_the_client_can_give_is_a_rule() -> None:
    """A finding without its entry would have no effect, and nobody would know."""
    given: set[str] = set()
    for path in (CHECKOUT / "client" / "ichclient").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                place = {"Verdict": 0, "Warning_": 0, "refused": 1, "PixelRule": 0}.get(name)
                if place is not None and isinstance(node.args[place], ast.Constant):
                    given.add(str(node.args[place].value))
    assert {"not_dicom", "truncated_pixels", "metal_clipped"} <= given
    assert given - set(RULE_OF) <= NO_FINDINGS
