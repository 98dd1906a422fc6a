"""What reaching a server safely costs: every promised number, or none where an answer differs."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from click.testing import CliRunner

pytestmark = pytest.mark.triton

CHECKOUT = Path(__file__).parents[2]
TINY = ["--runs", "1", "--starts", "1", "--burn-in", "1", "--at-once", "2"]


@pytest.fixture
def access(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(CHECKOUT))
    return importlib.import_module("benchmarks.access")


def test_numbers_come_with_their_conditions(access: ModuleType, tmp_path: Path) -> None:
    out = tmp_path / "access.json"
    done = CliRunner().invoke(access.main, [*TINY, "--json", "--out", str(out)])
    assert done.exit_code == 0, done.output
    document = json.loads(out.read_text())
    assert json.loads(done.stdout) == document
    found = document["measurements"]
    for name in ("tls", "mutual_tls"):
        assert found[name]["study_s"]["median"] > 0
        assert found[name]["over_plain"]["pairs"] == 1
        assert found[name]["largest_differences"]["slice_score"] <= 1e-3
    assert found["two_servers"]["one_server_studies_per_second"] > 0
    assert found["start"]["ready_with_manifest_check_s"]["median"] > 0
    assert document["conditions"]["slices"] == 24


def test_an_answer_that_differs_gives_no_number(
    access: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    asked = access.answer_from_server
    seen: list[int] = []

    def altered(*given: object) -> object:
        seen.append(1)
        answer = asked(*given)
        if len(seen) == 1:
            return answer
        return replace(answer, mask=np.zeros_like(answer.mask))

    monkeypatch.setattr(access, "answer_from_server", altered)
    done = CliRunner().invoke(access.main, [*TINY, "--json"])
    assert done.exit_code == 8
    assert done.stdout == ""
