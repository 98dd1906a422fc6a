"""Labelled studies and a proven server -> one result a study, and the record of all.

A run that was ended goes on: what is in the folder is kept where table, rules and bundle are those
of this run, and refused where they are not.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from ichclient.acceptance.figures import Outcome
from ichclient.acceptance.labels import Case, Labels
from ichclient.acceptance.page import page_from_acceptance
from ichclient.acceptance.record import (
    ACCEPTANCE_FILE,
    PAGE_FILE,
    Acceptance,
    Conditions,
    acceptance_from_outcomes,
    acceptance_to_json,
)
from ichclient.acceptance.signed import SIGNATURE_FILE, STATEMENT_FILE
from ichclient.combination import known_reference, known_spec
from ichclient.connect import ProvenServer, ServerOptions, proven_server
from ichclient.errors import BadLabels, BadRules, NothingFound, RefusedInput
from ichclient.infer import result_from_path
from ichclient.output import output_folder, write_files
from ichclient.result import REPORT_FILE, RESULT_FILE, Bundle, Result
from ichclient.rules import DEFAULT_BOOK, RuleBook
from ichclient.saved import json_from_text, result_from_file
from ichclient.site_point import decision_at
from ichclient.sources import SourceOptions
from ichcore import EnsembleSpec

RUN_FILE = "run.json"
REFUSAL_FILE = "refused.json"
_NEVER = 1.0
"""A threshold that only a score of 1 reaches, which is positive at every threshold."""


@dataclass(frozen=True)
class Asked:
    """By what an acceptance judges: the studies' source, the rules of intake, slabs."""

    source: SourceOptions | None = None
    book: RuleBook = DEFAULT_BOOK
    slab_mm: float | None = None


def acceptance_from_labels(
    labels: Labels,
    out: Path,
    options: ServerOptions,
    asked: Asked,
    heard: Callable[[int, int], object] = lambda done, total: None,
) -> Acceptance:
    """Judge every study of the table and write the record and its page into `out`.

    A study that intake refuses is counted as such; any other error ends the run, which goes on
    from there when it is started again. Raises BadLabels where `out` is of another run.
    """
    if asked.book.site.point is not None:
        raise BadRules(
            "An acceptance measures the bundle as it is: leave [operating_point] out of --rules."
        )
    with output_folder(out), proven_server(options) as server:
        facts = server.transport.metadata()
        spec = known_spec(facts.spec_sha256, server.repository)
        if spec is None:
            raise BadLabels(
                f"The server judges by spec {facts.spec_sha256[:16]}, which is not at hand: name "
                "the repository of its bundle with --repository."
            )
        bundle = Bundle(
            ensemble=facts.ensemble,
            provenance=_provenance(server),
            spec_sha256=facts.spec_sha256,
            server_version=facts.server_version,
            contract_version=facts.contract_version,
        )
        started = _refuse_other_run(out, labels, asked, bundle)
        outcomes: list[Outcome] = []
        for case, study in zip(labels.cases, labels.studies, strict=True):
            heard(len(outcomes), len(labels.cases))
            outcomes.append(_outcome(case, study, server, spec, out, asked))
        conditions = Conditions(
            labels_sha256=labels.sha256,
            rules_sha256=asked.book.site.sha256,
            allowed=tuple(sorted(asked.book.allowed)),
            slab_mm=asked.slab_mm,
            bundle=bundle,
            software=f"ich-triton {version('ich-triton')}",
            started=started,
            finished=_now(),
        )
        reference = known_reference(facts.spec_sha256, server.repository)
        acceptance = acceptance_from_outcomes(conditions, outcomes, spec, reference)
        write_acceptance(out, acceptance)
    return acceptance


def write_acceptance(out: Path, acceptance: Acceptance) -> None:
    """Write the record and its page; a signature of an earlier record is taken away."""
    write_files(
        out,
        {
            SIGNATURE_FILE: None,
            STATEMENT_FILE: None,
            PAGE_FILE: page_from_acceptance(acceptance).encode(),
            ACCEPTANCE_FILE: acceptance_to_json(acceptance).encode(),
        },
    )


def _outcome(
    case: Case, study: str, server: ProvenServer, spec: EnsembleSpec, out: Path, asked: Asked
) -> Outcome:
    """What became of a study, now or in the run before."""
    folder = out / case.folder
    if (folder / REFUSAL_FILE).is_file():
        return _refused(case, json_from_text((folder / REFUSAL_FILE).read_text(encoding="utf-8")))
    if (folder / RESULT_FILE).is_file():
        return _judged(case, result_from_file(folder), spec, out)
    try:
        result = result_from_path(
            study, server, out=folder, source=asked.source, book=asked.book, slab_mm=asked.slab_mm
        )
    except (NothingFound, RefusedInput) as error:
        code = error.code if isinstance(error, RefusedInput) else "nothing_found"
        # A path may hold a name, and is not repeated.
        told = {"code": code, "sentence": str(error).replace(study, "the study")}
        with output_folder(folder):
            write_files(folder, {REFUSAL_FILE: json.dumps(told, indent=1).encode()})
        return _refused(case, told)
    return _judged(case, result, spec, out)


def _refused(case: Case, told: dict[str, str]) -> Outcome:
    return Outcome(
        case=case,
        score=None,
        decisions={},
        if_below=None,
        lesion_volume_ml=None,
        warnings=(),
        refusal=told["code"],
        sentence=told["sentence"],
        report=None,
        result_sha256=None,
        SeriesInstanceUID=None,
    )


def _judged(case: Case, result: Result, spec: EnsembleSpec, out: Path) -> Outcome:
    content = (out / case.folder / RESULT_FILE).read_bytes()
    return Outcome(
        case=case,
        score=result.study_score,
        decisions=dict(result.decisions),
        if_below=decision_at(result, spec, _NEVER),
        lesion_volume_ml=result.lesion_volume_ml,
        warnings=tuple(notice.code for notice in result.warnings),
        refusal=None,
        sentence="",
        report=f"{case.folder}/{REPORT_FILE}",
        result_sha256=hashlib.sha256(content).hexdigest(),
        SeriesInstanceUID=result.series.SeriesInstanceUID,
    )


def _refuse_other_run(out: Path, labels: Labels, asked: Asked, bundle: Bundle) -> str:
    """When this run began; raises BadLabels where `out` holds results of another one."""
    wanted = {
        "labels": labels.sha256,
        "rules": asked.book.site.sha256,
        "allowed": sorted(asked.book.allowed),
        "slabs": asked.slab_mm,
        "bundle": asdict(bundle),
    }
    file = out / RUN_FILE
    if not file.exists():
        started = _now()
        text = json.dumps({"started": started, **wanted}, indent=1)
        write_files(out, {RUN_FILE: text.encode()})
        return started
    try:
        found = json_from_text(file.read_text(encoding="utf-8"))
        changed = [name for name, value in wanted.items() if found[name] != value]
        started = str(found["started"])
    except (KeyError, OSError, TypeError, ValueError) as error:
        raise BadLabels(f"{file} cannot be read: name another folder with --out.") from error
    if changed:
        raise BadLabels(
            f"{out} holds an acceptance with other {' and other '.join(changed)}: name another "
            "folder with --out."
        )
    return started


def _provenance(server: ProvenServer) -> str:
    """What the server's slices carry, from one golden slice."""
    return server.transport.infer(server.golden.hu[:1]).provenance[0]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
