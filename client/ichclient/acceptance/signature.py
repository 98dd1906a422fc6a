"""An acceptance, a private key, a name -> a statement and its Ed25519 signature; and the way back.

The statement is plain text: who signed, when, and the SHA-256 of record, page and site.toml as
`sha256sum` writes them. The record in turn holds the hash of every result. So `openssl` and
`sha256sum` can verify what this file does.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ichclient.acceptance.point import SITE_FILE
from ichclient.acceptance.record import (
    ACCEPTANCE_FILE,
    PAGE_FILE,
    acceptance_bytes,
    acceptance_from_bytes,
)
from ichclient.acceptance.signed import SIGNATURE_FILE, STATEMENT_FILE
from ichclient.errors import BadAccess, MissingExtra, NotAsSigned, NothingFound
from ichclient.output import write_files
from ichclient.result import DISCLAIMER, RESULT_FILE

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

_HEAD = f"Acceptance of an ich-triton bundle. {DISCLAIMER}\n"
_SIGNED = re.compile(r"Signed by (?P<name>.+) at (?P<when>\S+)\n")
_LINE = re.compile(r"(?P<digest>[0-9a-f]{64})  (?P<file>[\w.]+)\n")


@dataclass(frozen=True)
class Signed:
    """What was verified: who signed and when, and the results that are no longer there."""

    name: str
    when: str
    files: tuple[str, ...]
    absent_results: tuple[str, ...]


def sign(folder: Path, key_file: Path, name: str) -> Signed:
    """Sign the acceptance in a folder; raises BadAccess for a key or a name that is none.

    The record and every result are held together first: what does not agree is not signed.
    """
    if not name.strip() or not name.isprintable():
        raise BadAccess("A signature needs a name, on one line: --name 'A. Physicist'.")
    key = _private_key(key_file)
    absent = _refuse_other_results(folder)
    files = [name for name in (ACCEPTANCE_FILE, PAGE_FILE, SITE_FILE) if (folder / name).is_file()]
    when = datetime.now(UTC).isoformat(timespec="seconds")
    lines = "".join(f"{_sha256(folder / name)}  {name}\n" for name in files)
    statement = f"{_HEAD}Signed by {name.strip()} at {when}\n{lines}".encode()
    write_files(folder, {STATEMENT_FILE: statement, SIGNATURE_FILE: key.sign(statement)})
    return Signed(name.strip(), when, tuple(files), absent)


def verify(folder: Path, key_file: Path) -> Signed:
    """Verify statement, files and results by a public key; NotAsSigned names what is not so."""
    key = _public_key(key_file)
    statement, signature = _read(folder / STATEMENT_FILE), _read(folder / SIGNATURE_FILE)
    if not _is_signed(key, signature, statement):
        raise NotAsSigned(
            f"{folder / STATEMENT_FILE} was changed, or signed by another key than {key_file}."
        )
    text = statement.decode()
    found = _SIGNED.match(text, len(_HEAD)) if text.startswith(_HEAD) else None
    if found is None:
        raise NotAsSigned(f"{folder / STATEMENT_FILE} is no statement about an acceptance.")
    files = {line["file"]: line["digest"] for line in _LINE.finditer(text, found.end())}
    if ACCEPTANCE_FILE not in files:
        raise NotAsSigned(f"{folder / STATEMENT_FILE} does not name {ACCEPTANCE_FILE}.")
    for file, digest in files.items():
        if not (folder / file).is_file() or _sha256(folder / file) != digest:
            raise NotAsSigned(f"{folder / file} is not the file that was signed.")
    if (folder / SITE_FILE).exists() and SITE_FILE not in files:
        raise NotAsSigned(f"{folder / SITE_FILE} was not there when this was signed.")
    return Signed(found["name"], found["when"], tuple(files), _refuse_other_results(folder))


def _refuse_other_results(folder: Path) -> tuple[str, ...]:
    """Names of the cases whose result is gone; raises NotAsSigned for one that was changed."""
    acceptance = acceptance_from_bytes(acceptance_bytes(folder), folder / ACCEPTANCE_FILE)
    absent = []
    for outcome in acceptance.outcomes:
        file = folder / outcome.case.folder / RESULT_FILE
        if outcome.result_sha256 is None:
            continue
        if not file.is_file():
            absent.append(outcome.case.name)
        elif _sha256(file) != outcome.result_sha256:
            raise NotAsSigned(f"{file} is not the result that the acceptance counts.")
    return tuple(absent)


def _is_signed(key: Ed25519PublicKey, signature: bytes, statement: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature

    try:
        key.verify(signature, statement)
    except InvalidSignature:
        return False
    return True


def _private_key(file: Path) -> Ed25519PrivateKey:
    kinds, serialization = _library()
    try:
        key = serialization.load_pem_private_key(_key_bytes(file), password=None)
    except (TypeError, ValueError) as error:
        raise _no_key(file, "private") from error
    if not isinstance(key, kinds.Ed25519PrivateKey):
        raise _no_key(file, "private")
    return cast("Ed25519PrivateKey", key)


def _public_key(file: Path) -> Ed25519PublicKey:
    kinds, serialization = _library()
    try:
        key = serialization.load_pem_public_key(_key_bytes(file))
    except ValueError as error:
        raise _no_key(file, "public") from error
    if not isinstance(key, kinds.Ed25519PublicKey):
        raise _no_key(file, "public")
    return cast("Ed25519PublicKey", key)


def _library() -> tuple[Any, Any]:
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise MissingExtra(
            "Signing needs the library cryptography: pip install 'ich-triton[accept]'."
        ) from error
    return ed25519, serialization


def _no_key(file: Path, kind: str) -> BadAccess:
    make = {
        "private": "openssl genpkey -algorithm ed25519 -out accept.key",
        "public": "openssl pkey -in accept.key -pubout -out accept.pub",
    }
    return BadAccess(
        f"{file} is no {kind} Ed25519 key in PEM without a password; make one with `{make[kind]}`."
    )


def _key_bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise BadAccess(f"The key {file} cannot be read ({error.strerror}).") from error


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise NothingFound(
            f"{file} cannot be read ({error.strerror}): sign it with `ichclient accept sign`."
        ) from error


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
