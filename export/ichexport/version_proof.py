"""Version of a repository -> proof that it may be served, or a refusal with figures."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from ichcore import Combined, EnsembleSpec
from ichcore.wire import FUSED_ENGINE_MODEL
from ichexport.engine import reference_from_repository
from ichexport.engines import onnxruntime_from_onnx
from ichexport.errors import CannotRunHere, ParityError, UnprovenError
from ichexport.gate import largest_difference
from ichexport.golden import TOLERANCE_SCORE, combined_from_runners
from ichexport.proofs import (
    PASSED,
    REFUSED,
    Proof,
    engines_of,
    proofs_from_record,
    proofs_of,
)
from ichexport.repository import spec_of_repository
from ichexport.rerun import parity_from_run, rerun
from ichexport.studies import studies_from_file
from ichexport.targets import ONNX_FILE, PLAN_FILE
from ichexport.verify import refuse_unproven
from ichexport.versions import Versions, golden_file, version_folder


def prove_version(repository: Path, versions: Versions, say: Callable[[str], object]) -> None:
    """Run every engine of the current version that runs here, against torch on golden slices.

    Raises `UnprovenError` where the version is proven for less than the former one was, or holds
    a plan that never ran; `ParityError` with the figures where an engine or the golden answers
    differ too much. Says what ran, what did not, and how far scores move from the former version.
    """
    spec = spec_of_repository(repository)
    _refuse_less(proofs_of(repository), spec, versions)
    studies = studies_from_file(golden_file(repository), spec)
    reference = reference_from_repository(repository, spec, studies)
    for engine in engines_of(repository):
        for proof in proofs_from_record(engine):
            if proof.version != versions.current or proof.state == REFUSED:
                continue
            try:
                parity = parity_from_run(reference, proof, rerun(engine, proof))
            except CannotRunHere as error:
                say(f"{proof.name}: not run here, {error}")
                continue
            except ParityError as error:
                raise ParityError(f"Version {versions.current} may not serve. {error}") from error
            moved = parity["difference"]["largest_score_difference"]
            say(f"{proof.name}: agrees with torch, a score differs by {moved:.2g} at most")
    _compare_golden(repository, spec, versions, say)


def _refuse_less(proofs: Iterable[Proof], spec: EnsembleSpec, versions: Versions) -> None:
    """Production serves no plan that never ran, and nothing is served with less proof than was."""
    proofs, current = list(proofs), versions.current
    models = {*spec.member_names, FUSED_ENGINE_MODEL}
    for target in sorted({proof.target for proof in proofs}):
        of_target = [proof for proof in proofs if proof.serves(target)]
        before = [proof for proof in of_target if proof.version == versions.former]
        after = [proof for proof in of_target if proof.version == current]
        proven_before = models <= {proof.model for proof in before if proof.state == PASSED}
        if proven_before or any(proof.engine_file == PLAN_FILE for proof in after):
            refuse_unproven(proofs, spec, target, current)
        if absent := sorted({p.model for p in before} - {p.model for p in after}):
            raise UnprovenError(
                f"Version {current} has no engine for the target {target} of {', '.join(absent)}, "
                f"and version {versions.former} has; run `ichexport build --candidate`."
            )


def _compare_golden(
    repository: Path, spec: EnsembleSpec, versions: Versions, say: Callable[[str], object]
) -> None:
    with np.load(golden_file(repository), allow_pickle=False) as golden:
        hu, recorded = golden["HU"], golden["SCORE"]

    def combined(version: int) -> Combined:
        graphs = {n: version_folder(repository, n, version) / ONNX_FILE for n in spec.member_names}
        runners = {name: onnxruntime_from_onnx(graph) for name, graph in graphs.items()}
        return combined_from_runners(runners, hu, spec_of_repository(repository, version))

    score = combined(versions.current).score
    differs = largest_difference(score, recorded)
    if not differs <= TOLERANCE_SCORE:  # in this form NaN is refused too
        raise ParityError(
            f"Version {versions.current} may not serve. Its graphs differ from its golden answers "
            f"by {differs:.3g} in a score (limit {TOLERANCE_SCORE:g}); release it again."
        )
    if versions.former is not None:
        moved = largest_difference(score, combined(versions.former).score)
        say(
            f"On {len(hu)} golden slices a score moves by {moved:.2g} at most from version "
            f"{versions.former} to {versions.current}."
        )
