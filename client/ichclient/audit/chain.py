"""The form of the audit log: a line names the line before it, and the head names the newest.

A line is canonical JSON: `n` counts from 1, `at` is UTC, `event` and its facts, `previous` is the
hash of the line before, `hash` the SHA-256 of the line without `hash` and `seal`, and `seal` is an
HMAC of the hash with the station's key. The head is a file of its own, so that lines cannot be cut
off the end unseen.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ichclient.audit.keyed import Pseudonyms

LOG_FILE = "audit.jsonl"
HEAD_FILE = "audit.head"
TORN_FILE = "audit.torn"
START = "0" * 64
"""What the first line names as the line before it."""

_HEAD_BYTES = 256

Fact = str | int | float | None
OF_THE_CHAIN = ("n", "at", "event", "previous", "hash", "seal")


@dataclass(frozen=True)
class Head:
    """The newest line: its number and its hash."""

    n: int
    hash: str


BEFORE = Head(0, START)
"""The head of a log without a line."""


def canonical(values: Mapping[str, Any]) -> str:
    """The one way to write these values: sorted names, no spaces, ASCII, no NaN."""
    return json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)


def line_from_values(values: Mapping[str, Any], pseudonyms: Pseudonyms) -> tuple[str, Head]:
    """A finished line without its line end, and the head that it makes."""
    digest = hash_of(values)
    line = canonical({**values, "hash": digest, "seal": pseudonyms.seal(digest)})
    return line, Head(values["n"], digest)


def hash_of(values: Mapping[str, Any]) -> str:
    """What `hash` must be for these values of a line."""
    bare = {name: value for name, value in values.items() if name not in ("hash", "seal")}
    return hashlib.sha256(canonical(bare).encode()).hexdigest()


def values_from_line(line: bytes) -> dict[str, Any] | None:
    """The values of a line that is written as the log writes, with its own hash; else None."""
    try:
        values = json.loads(line)
        if not isinstance(values, dict) or canonical(values).encode() != line:
            return None
    except (ValueError, RecursionError):
        return None
    own = all(isinstance(values.get(name), str) for name in OF_THE_CHAIN[1:])
    n = values.get("n")
    if not own or type(n) is not int or n < 1 or values["hash"] != hash_of(values):
        return None
    return values


def read_head(folder: Path, pseudonyms: Pseudonyms | None) -> Head | None:
    """The head beside the log: None where it was changed, `BEFORE` where there is none.

    Without the key its seal is not looked at.
    """
    try:
        content = (folder / HEAD_FILE).read_bytes()
    except FileNotFoundError:
        return BEFORE
    try:
        values = json.loads(content)
        head = Head(values["n"], values["hash"])
        seal = values["seal"]
        if content != _head_text(head, seal).encode():
            return None
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    if type(head.n) is not int or head.n < 1 or not isinstance(seal, str):
        return None
    if pseudonyms is not None and not pseudonyms.is_seal(seal, _sealed(head)):
        return None
    return head


def write_head(folder: Path, head: Head, pseudonyms: Pseudonyms) -> None:
    """Write a new head over the old one; the caller holds the log's lock.

    In place and within one sector of a disk: a crash leaves the old or the new one, and a full
    disk has room for it.
    """
    descriptor = os.open(folder / HEAD_FILE, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, _head_text(head, pseudonyms.seal(_sealed(head))).encode())
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)


def _head_text(head: Head, seal: str) -> str:
    return canonical({"n": head.n, "hash": head.hash, "seal": seal}).ljust(_HEAD_BYTES - 1) + "\n"


def _sealed(head: Head) -> str:
    return f"head {head.n} {head.hash}"
