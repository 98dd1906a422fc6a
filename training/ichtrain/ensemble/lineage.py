"""Training records and prepared folders -> what members are, and that they saw no such patient."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from ichtrain.data import Prepared, refuse_leak
from ichtrain.data.prepared import INDEX_FILE
from ichtrain.ensemble.options import FINDING_OF_SUBSET, SUBSET_OF_MEMBER
from ichtrain.errors import EnsembleError, SplitLeak


def record_of_member(run: Path, name: str) -> dict[str, Any] | None:
    """What `ichtrain fit` recorded of a member; None where there is no record."""
    path = run / f"{name}.json"
    if not path.is_file():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(record, dict):
            return record
        raise ValueError("it is no object")
    except (OSError, ValueError) as error:
        raise EnsembleError(
            f"{path} is no training record ({error}); train {name} again."
        ) from error


def finding_of_member(name: str, record: dict[str, Any] | None) -> str:
    """The finding in words: of the subset that the record names, else of the member's name."""
    options = (record or {}).get("options", {})
    subset = options.get("subset", SUBSET_OF_MEMBER.get(name, "all"))
    return FINDING_OF_SUBSET.get(subset, str(subset))


def refuse_seen_patients(
    records: dict[str, dict[str, Any] | None],
    data: Sequence[Prepared],
    trained_on: Sequence[Prepared],
    split: str,
) -> None:
    """Raise `SplitLeak` where a member may have trained on a patient of `split` in `data`.

    Each folder that a record names has to be among `data` or `trained_on`, told by the hash of its
    index, so that a patient in two splits is seen. A member whose record names no folder, or that
    has no record, is refused.
    """
    if split == "train":
        raise SplitLeak("Members train on the split 'train'; fit the ensemble on another one.")
    refuse_leak(chain.from_iterable(folder.patients for folder in (*data, *trained_on)))
    seen = {index_sha256(folder) for folder in (*data, *trained_on)}
    for name, record in records.items():
        if record is None:
            raise SplitLeak(
                f"{name} has no training record ({name}.json), so nobody can tell whether it was "
                "trained on these patients. Train it with `ichtrain fit`, or say --unchecked."
            )
        for folder, index in _folders_of_record(name, record):
            if index not in seen:
                raise SplitLeak(
                    f"{name} was trained on the prepared folder '{folder}', which is not among the "
                    "data as it was then. Name it with --trained-on, so that its patients can be "
                    "compared, or say --unchecked."
                )


def _folders_of_record(name: str, record: dict[str, Any]) -> list[tuple[str, str]]:
    """Name and index hash of each folder that a member was trained on; there is one at least."""
    try:
        folders = [(str(each["name"]), str(each["index_sha256"]))
                   for each in record["data"]["folders"]]  # fmt: skip
    except (KeyError, TypeError):
        folders = []
    if not folders:
        raise SplitLeak(
            f"The training record of {name} ({name}.json) names no data, so nobody can tell "
            "whether it was trained on these patients. Train it with `ichtrain fit`, or say "
            "--unchecked."
        )
    return folders


def index_sha256(folder: Prepared) -> str:
    """SHA-256 of a folder's index, which names its series, patients and splits."""
    return hashlib.sha256((folder.folder / INDEX_FILE).read_bytes()).hexdigest()
