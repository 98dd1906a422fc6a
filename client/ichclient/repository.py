"""Model repository folder -> the same folder, every file of it verified.

`MANIFEST.sha256` in the repository lists every file as `sha256sum` writes it. The manifest's own
digest is pinned outside the repository, in `model_repository.sha256` beside this file. This finds
broken copies and mixed versions; who may write here could also change this program.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from ichclient.errors import RepositoryError

MANIFEST = "MANIFEST.sha256"
_PIN = Path(__file__).with_name("model_repository.sha256")
_LINE = re.compile(r"(?P<digest>[0-9a-f]{64}) [ *](?P<path>.+)")
_MEND = "Install ich-triton again, or make the repository again with ichexport."


def default_repository() -> Path:
    """The bundle inside the installed package, or that of the checkout this package lies in."""
    here = Path(__file__).resolve().parent
    for folder in (here / "model_repository", here.parents[1] / "model_repository"):
        if folder.is_dir():
            return folder
    raise RepositoryError(
        "This installation carries no model repository: name one with --repository DIR, or use "
        "a server elsewhere with --url HOST:PORT."
    )


def pinned_sha256() -> str:
    """The digest that the default repository's manifest must have."""
    try:
        return _PIN.read_text(encoding="utf-8").split()[0]
    except (OSError, IndexError) as error:
        raise RepositoryError(f"The pin {_PIN} cannot be read. {_MEND}") from error


def verified_repository(path: Path | None = None) -> Path:
    """Verify the default repository against its pin, or another one against its own manifest."""
    if path is None:
        return verified_by_manifest(default_repository(), pinned_sha256())
    return verified_by_manifest(path)


def verified_by_manifest(path: Path, manifest_sha256: str | None = None) -> Path:
    """Return `path` if each of its files is listed and unaltered.

    Raises RepositoryError naming the first file that is missing, altered or not listed.
    """
    manifest = path / MANIFEST
    if not manifest.is_file():
        raise RepositoryError(f"There is no {MANIFEST} in {path}: it is no model repository.")
    if manifest_sha256 is not None and _digest(manifest) != manifest_sha256:
        raise RepositoryError(f"{manifest} is not the manifest this version came with. {_MEND}")
    listed = _listed(manifest)
    present = _files(path)
    for name in sorted(listed.keys() | present):
        if name not in present:
            raise RepositoryError(f"{path / name} is missing. {_MEND}")
        if name not in listed:
            raise RepositoryError(f"{path / name} is not listed in {MANIFEST}. Remove it.")
        if _digest(path / name) != listed[name]:
            raise RepositoryError(f"{path / name} was altered. {_MEND}")
    return path


def _listed(manifest: Path) -> dict[str, str]:
    listed = {}
    for number, line in enumerate(manifest.read_text(encoding="utf-8").splitlines(), start=1):
        match = _LINE.fullmatch(line)
        if match is None:
            raise RepositoryError(f"Line {number} of {manifest} cannot be read. {_MEND}")
        listed[match["path"].removeprefix("./")] = match["digest"]
    return listed


def _files(path: Path) -> set[str]:
    """Every file but the manifest; pip compiles model.py on installation, so caches may lie here.

    Python takes a cached file only where it belongs to the source beside it, which is verified.
    """
    names = (file.relative_to(path) for file in path.rglob("*") if not file.is_dir())
    return {
        name.as_posix()
        for name in names
        if name != Path(MANIFEST) and "__pycache__" not in name.parts
    }


def _digest(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise RepositoryError(f"{file} cannot be read ({reason}). {_MEND}") from error
