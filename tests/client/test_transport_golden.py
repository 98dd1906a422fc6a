"""A server is trusted only after it judged the golden slices as recorded."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ichclient.connect import ProvenServer
from ichclient.errors import RepositoryError, ServerRefused
from ichclient.golden import golden_from_file
from ichclient.proof import Proof


def stored(path: Path, **changes: Any) -> Path:
    arrays: dict[str, Any] = {
        "HU": np.zeros((2, 1, 64, 96), dtype=np.float16),
        "SCORE": np.full((2, 1), 0.5, dtype=np.float32),
        "MEMBER_SCORES": np.full((2, 2), 0.5, dtype=np.float32),
        "LESION_MM2": np.zeros((2, 1), dtype=np.float32),
        "SPEC_SHA256": np.array("ab" * 32),
        "TOLERANCE_SCORE": np.float32(0.01),
        "TOLERANCE_LESION_MM2": np.float32(8),
        **changes,
    }
    np.savez(path, **{name: value for name, value in arrays.items() if value is not None})
    return path


def test_a_server_that_answers_as_recorded_is_trusted(proven: ProvenServer) -> None:
    Proof(proven.golden).refuse_untrue_server(proven.transport)


@pytest.mark.parametrize(
    ("field", "tensor", "change"),
    [("score", "SCORE", 0.3), ("member_scores", "MEMBER_SCORES", 0.3), ("lesion_mm2", "LESION", 9)],
)
def test_an_altered_value_names_tensor_difference_and_tolerance(
    proven: ProvenServer, field: str, tensor: str, change: float
) -> None:
    golden = replace(proven.golden, **{field: getattr(proven.golden, field) + np.float32(change)})
    with pytest.raises(ServerRefused, match=rf"{tensor}.* {change} ?.* is allowed"):
        Proof(golden).refuse_untrue_server(proven.transport)


def test_a_difference_within_the_tolerance_passes(proven: ProvenServer) -> None:
    golden = replace(proven.golden, score=proven.golden.score + np.float32(5e-5))
    Proof(golden).refuse_untrue_server(proven.transport)


@pytest.mark.parametrize("int8", [False, True])
def test_engines_in_8_bits_have_a_tolerance_of_their_own(
    proven: ProvenServer, int8: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = replace(proven.transport.metadata(), int8=int8)
    monkeypatch.setattr(proven.transport, "metadata", lambda: facts)
    golden = replace(proven.golden, tolerance_score_int8=0.1, tolerance_lesion_mm2_int8=120.0)
    near = replace(
        golden, score=golden.score + np.float32(0.09), lesion_mm2=golden.lesion_mm2 + np.float32(99)
    )
    far = replace(golden, score=golden.score + np.float32(0.11))
    if int8:
        Proof(near).refuse_untrue_server(proven.transport)
    for other in (far,) if int8 else (near, far):
        with pytest.raises(ServerRefused, match="alters values"):
            Proof(other).refuse_untrue_server(proven.transport)


def test_a_bundle_of_before_has_one_tolerance(tmp_path: Path, golden: Any) -> None:
    before = golden_from_file(stored(tmp_path / "golden.npz"))
    assert before.tolerances(int8=True) == before.tolerances(int8=False)
    assert golden.tolerances(int8=True) > golden.tolerances(int8=False)
    assert np.ptp(golden.score) > 5 * golden.tolerances(int8=True)[0]


def test_a_server_with_another_spec_asks_for_its_golden_file(proven: ProvenServer) -> None:
    golden = replace(proven.golden, spec_key="spec:other")
    with pytest.raises(ServerRefused, match=re.escape("--golden")):
        Proof(golden).refuse_untrue_server(proven.transport)


def test_a_server_with_another_grid_asks_for_its_golden_file(proven: ProvenServer) -> None:
    golden = replace(proven.golden, hu=proven.golden.hu[..., :64])
    with pytest.raises(ServerRefused, match="grid"):
        Proof(golden).refuse_untrue_server(proven.transport)


def test_golden_slices_are_read_with_their_tolerances(tmp_path: Path) -> None:
    golden = golden_from_file(stored(tmp_path / "golden.npz"))
    assert golden.hu.shape == (2, 1, 64, 96)
    assert golden.spec_key == "spec:" + "ab" * 8
    assert golden.tolerance_score == pytest.approx(0.01)


@pytest.mark.parametrize(
    "changes",
    [
        {"SCORE": None},
        {"SCORE": np.zeros((3, 1), dtype=np.float32)},
        {"SCORE": np.full((2, 1), np.nan, dtype=np.float32)},
        {"TOLERANCE_SCORE": np.float32(np.nan)},
        {"TOLERANCE_SCORE": np.float32(1)},
        {"HU": np.array([{}, {}])},
    ],
)
def test_a_golden_file_that_proves_nothing_is_refused(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    with pytest.raises(RepositoryError, match="golden"):
        golden_from_file(stored(tmp_path / "golden.npz", **changes))


@pytest.mark.parametrize("content", [None, b"", b"not an archive"])
def test_an_unreadable_golden_file_is_told(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "golden.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RepositoryError, match="golden"):
        golden_from_file(path)
