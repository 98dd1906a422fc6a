"""Repository -> every file, engine and record of it verified, and what was proven of each engine.

`repository.check_repository` holds the files against the spec; this holds all of them against the
manifest and its pin first, and every engine, of whatever target, against its record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from ichcore import EnsembleSpec
from ichcore.wire import FUSED_ENGINE_MODEL
from ichexport.errors import CannotRunHere, DriftError, UnprovenError
from ichexport.manifest import MANIFEST_FILE, altered_files, sha256_from_file
from ichexport.proofs import (
    NOT_RUN,
    PASSED,
    Proof,
    engines_of,
    proofs_from_record,
    proofs_of,
    record_of,
    refuse_other_engine,
)
from ichexport.repository import (
    check_repository,
    spec_of_repository,
    write_manifest,
)
from ichexport.versions import VERSIONS_FILE, golden_file, versions_of


def verify_repository(repository: Path, pin: Path | None = None) -> tuple[Proof, ...]:
    """Hash everything; gives what was proven of each engine.

    Raises `DriftError` naming what is altered, missing or of another release, in the order in
    which it can be mended: files, then engines and their records, then what the spec generates.
    """
    _refuse_altered(repository, pin)
    for engine in engines_of(repository):
        refuse_other_engine(engine)
    check_repository(repository, pin)
    specs = {n: spec_of_repository(repository, n) for n in versions_of(repository).kept}
    for engine in engines_of(repository):
        _refuse_other_weights(engine, specs)
    return proofs_of(repository)


def refuse_unproven(proofs: Iterable[Proof], spec: EnsembleSpec, target: str, version: int) -> None:
    """Raise `UnprovenError` where an engine that `target` serves was never run, or is absent."""
    served = [proof for proof in proofs if proof.serves(target) and proof.version == version]
    passed = {proof.model for proof in served if proof.state == PASSED}
    found = {proof.model: proof for proof in served}
    missing = [
        f"{model}: {_why(found[model]) if model in found else 'no engine was built'}"
        for model in (*spec.member_names, FUSED_ENGINE_MODEL)
        if model not in passed
    ]
    if missing:
        raise UnprovenError(
            f"Version {version} must not serve the target {target}. {'; '.join(missing)}. Build "
            "what is absent, and run `ichexport verify --on-gpu` where the engines can run."
        )


def prove_not_run(
    repository: Path, spec: EnsembleSpec, say: Callable[[str], object] = lambda text: None
) -> str:
    """Run every engine that was built but not run, and note `passed` in its record.

    Gives the manifest's digest. Raises `ParityError` for an engine that does not say what its
    weights say, and the repository is then as it was. Past the refusal to run without a GPU this
    has never been executed by its authors.
    """
    from ichexport.engine import reference_from_repository
    from ichexport.entry import write_record
    from ichexport.release import changed_whole
    from ichexport.rerun import parity_from_run, rerun
    from ichexport.studies import studies_from_file

    with changed_whole(repository) as fresh:
        reference = None
        for engine in engines_of(fresh):
            for proof in proofs_from_record(engine):
                if proof.state != NOT_RUN:
                    continue
                try:
                    runner = rerun(engine, proof)
                except CannotRunHere as error:
                    say(f"{proof.name}: still not run, {error}")
                    continue
                if reference is None:
                    studies = studies_from_file(golden_file(fresh), spec)
                    reference = reference_from_repository(fresh, spec, studies)
                parity = parity_from_run(reference, proof, runner)
                write_record(engine, {**record_of(engine), "parity": parity})
                say(f"{proof.name}: passed")
        return write_manifest(fresh)


def _why(proof: Proof) -> str:
    return f"{proof.engine_file} {proof.state.replace('_', ' ')} ({proof.why_not})"


def _refuse_altered(repository: Path, pin: Path | None) -> None:
    manifest = repository / MANIFEST_FILE
    if not manifest.is_file():
        raise DriftError(f"{manifest} is missing; {repository} is no released repository.")
    if pin is not None:
        pinned = pin.read_text().split() if pin.is_file() else []
        if pinned[:1] != [sha256_from_file(manifest)]:
            raise DriftError(f"{manifest} is not the one that {pin} names; restore either.")
    if altered := altered_files(repository):
        raise DriftError(
            f"{_listed(altered)} in {repository}. Restore the files from where they were released."
        )


def _listed(altered: Mapping[str, str]) -> str:
    """A few of them, and how many there are."""
    more = len(altered) - 3
    return ", ".join(f"{path} {what}" for path, what in [*altered.items()][:3]) + (
        f" and {more} more" if more > 0 else ""
    )


def _refuse_other_weights(engine: Path, specs: Mapping[int, EnsembleSpec]) -> None:
    """Hold the weights that a record names against those of its version's spec."""
    model, named = engine.parents[1].name, record_of(engine).get("weights_sha256")
    spec = specs.get(int(engine.parent.name))
    if spec is None:
        raise DriftError(f"{engine} is of no version that {VERSIONS_FILE} names; remove it.")
    wanted: Any = [member.weights_sha256 for member in spec.members]
    if model != FUSED_ENGINE_MODEL:
        wanted = next((m.weights_sha256 for m in spec.members if m.name == model), None)
    if named != wanted:
        raise DriftError(f"{engine} was made of other weights than the spec names; build it again.")
