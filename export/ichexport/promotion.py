"""Candidate -> the version that is served, and back: a bad version never replaces a good one.

Each change is made in a copy of the repository that takes its place whole, or not at all. A
server that runs keeps what it has loaded; it serves the new version when it is started again.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ichcore.wire import CANARY_MODEL
from ichexport.errors import DriftError
from ichexport.manifest import altered_files
from ichexport.proofs import engines_of, refuse_other_engine
from ichexport.release import changed_whole, repository_from_run
from ichexport.repository import (
    check_repository,
    spec_of_repository,
    write_generated,
    write_manifest,
)
from ichexport.verify import verify_repository
from ichexport.version_proof import prove_version
from ichexport.versions import VERSIONS_FILE, Versions, golden_file, versions_of, versions_to_json

Say = Callable[[str], object]


def release_candidate(run: Path, repository: Path, pin: Path | None, say: Say) -> str:
    """Release a training run as the candidate beside the version that is served.

    Gives the digest of the new manifest. The candidate must have the tensors of that version.
    """
    verify_repository(repository, pin)
    with changed_whole(repository) as fresh:
        with tempfile.TemporaryDirectory(dir=fresh.parent) as scratch:
            made = Path(scratch) / "made"
            repository_from_run(run, made, say)
            versions = _with_candidate(fresh, made)
        return _serve(fresh, versions)


def build_candidate(repository: Path, pin: Path | None, build: Callable[[Path], object]) -> str:
    """Let `build` place engines in the candidate, a copy of the current version if there is none.

    `build` gets a repository in which the candidate is the current version. Gives the digest of
    the new manifest.
    """
    verify_repository(repository, pin)
    with changed_whole(repository) as fresh:
        versions = versions_of(fresh)
        if versions.candidate is None:
            versions = _with_candidate(fresh, fresh)
            _serve(fresh, versions)
        assert versions.candidate is not None
        _serve(fresh, replace(versions, current=versions.candidate, candidate=versions.current))
        build(fresh)
        return _serve(fresh, versions)


def promote(repository: Path, pin: Path | None, say: Say) -> str:
    """Serve the candidate, if all of it is whole and its engines agree with its weights.

    Gives the digest of the new manifest. Raises `IchExportError` without a candidate, and what
    `verify_repository` and `prove_version` raise; the repository is then as it was.
    """
    verify_repository(repository, pin)
    versions = versions_of(repository).promoted
    with changed_whole(repository) as fresh:
        digest = _serve(fresh, versions)
        check_repository(fresh)
        prove_version(fresh, versions, say)
        return digest


def roll_back(repository: Path, say: Say) -> str:
    """Serve the version that was served before, whatever became of the one that is now.

    Versions with an altered file are removed, for going back must not need them; the former one
    must be whole. Gives the digest of the new manifest. Raises `IchExportError` without a former
    version, `DriftError` where it is not whole; the repository is then as it was.
    """
    before = versions_of(repository)
    versions = before.rolled_back
    altered = altered_files(repository)
    broken = {number for path in altered if (number := _version_of(path, before)) is not None}
    for path, what in altered.items():
        nobodys = _version_of(path, before) is None and not path.endswith(".pbtxt")
        if nobodys or _version_of(path, before) == versions.current:
            raise DriftError(f"{repository / path} {what}; restore it before going back.")
    if before.current in broken:
        versions = replace(versions, former=None)
    if before.candidate in broken:
        versions = replace(versions, candidate=None)
    with changed_whole(repository) as fresh:
        digest = _serve(fresh, versions)
        for engine in engines_of(fresh):
            refuse_other_engine(engine)
        check_repository(fresh)
    for number in sorted(set(before.kept) - set(versions.kept)):
        say(f"Version {number} had altered files and was removed.")
    return digest


def withdraw(repository: Path, pin: Path | None) -> str:
    """Remove the candidate; gives the digest of the new manifest."""
    verify_repository(repository, pin)
    versions = versions_of(repository).withdrawn
    with changed_whole(repository) as fresh:
        return _serve(fresh, versions)


def _with_candidate(repository: Path, source: Path) -> Versions:
    """Copy the current version of `source` beside those of `repository`, as its candidate."""
    versions, taken = versions_of(repository).with_candidate, versions_of(source).current
    for folder in sorted(source.glob(f"*/{taken}")):
        shutil.copytree(folder, repository / folder.parent.name / str(versions.candidate))
    shutil.copy(golden_file(source), golden_file(repository, versions.candidate))
    return versions


def _serve(repository: Path, versions: Versions) -> str:
    """Generate configs for `versions`, remove what they do not keep, and write the manifest.

    All versions they name must have their folders. Gives the manifest's digest.
    """
    before, served = versions_of(repository), golden_file(repository)
    coming = golden_file(repository, versions.current)
    (repository / VERSIONS_FILE).write_text(versions_to_json(versions))
    if coming != served:
        if served.is_file():
            served.rename(golden_file(repository, before.current))
        coming.rename(served)
    _remove_others(repository, versions)
    write_generated(repository, spec_of_repository(repository))
    return write_manifest(repository)


def _remove_others(repository: Path, versions: Versions) -> None:
    for folder in repository.glob("*/[0-9]*"):
        kept: tuple[int, ...] = versions.kept
        if folder.parent.name == CANARY_MODEL:
            kept = () if versions.candidate is None else (versions.candidate,)
        if int(folder.name) not in kept:
            shutil.rmtree(folder)
    for golden in repository.glob("golden.*.npz"):
        if _version_of(golden.name, versions) not in versions.kept:
            golden.unlink()
    if versions.candidate is None:
        shutil.rmtree(repository / CANARY_MODEL, ignore_errors=True)


def _version_of(path: str, versions: Versions) -> int | None:
    """The version that a file of a repository belongs to; None for one of all versions."""
    if path == "golden.npz":
        return versions.current
    found = re.match(r"(?:[^/]+/(\d+)/|golden\.(\d+)\.npz$)", path)
    return int(found[1] or found[2]) if found else None
