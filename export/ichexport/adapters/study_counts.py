"""Studies judged -> the study model's own metrics, beside Triton's at port 8002.

Counts of what was decided and of how scores lie, and the distribution that the model card's scores
have, so that the one can be told from the other. They know no study and no patient. Nothing here
may ever break a request: a server without metrics, or with broken ones, judges as before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import triton_python_backend_utils as pb_utils

from ichcore import EnsembleSpec, StudyScore
from ichcore.reference import SCORE_EDGES, reference_from_json, score_bin, shares_below
from ichcore.study import Decision
from ichcore.wire import REFERENCE_FILE

_UPPER_ENDS = tuple(f"{edge:g}" for edge in SCORE_EDGES)
_ALL = "+Inf"


class StudyCounts:
    """The metrics of one study model; a spec is named by the first 16 digits of its SHA-256."""

    def __init__(self, specs: Iterable[EnsembleSpec], repository: Path) -> None:
        self._metrics: dict[tuple[str, ...], Any] = {}
        self._told = False
        with self._quietly():
            self._make(list(specs))
            self._tell_reference(repository)

    def judged(self, study: StudyScore, spec: EnsembleSpec) -> None:
        """Count a study that has a score."""
        with self._quietly():
            key = spec.sha256[:16]
            for place in range(score_bin(min(1.0, study.score)), len(_UPPER_ENDS)):
                self._add("ich_study_score_bucket", key, _UPPER_ENDS[place])
            self._add("ich_study_score_bucket", key, _ALL)
            self._add("ich_study_score_sum", key, by=study.score)
            self._add("ich_study_score_count", key)
            for point, decision in study.decisions:
                self._add("ich_study_decisions_total", key, point, decision.value)

    def refused(self) -> None:
        """Count a study that broke the contract, and so has no score."""
        with self._quietly():
            self._add("ich_study_refused_total")

    @contextmanager
    def _quietly(self) -> Iterator[None]:
        """Whatever happens while counting is logged once, and the study goes on."""
        try:
            yield
        except Exception as error:
            if not self._told:
                self._told = True
                with suppress(Exception):
                    pb_utils.Logger.log_warn(f"Studies are not counted: {error}")

    def _add(self, *key: str, by: float = 1) -> None:
        metric = self._metrics.get(key)
        if metric is not None:
            metric.increment(by)

    def _make(self, specs: list[EnsembleSpec]) -> None:
        """Every metric there will be, at 0, so that the first study counts as a rise."""
        counter, gauge = pb_utils.MetricFamily.COUNTER, pb_utils.MetricFamily.GAUGE
        self._families = {
            name: pb_utils.MetricFamily(name=name, description=text, kind=kind)
            for name, text, kind in (
                ("ich_study_score_bucket", "Studies with a score of at most le", counter),
                ("ich_study_score_sum", "Sum of the study scores", counter),
                ("ich_study_score_count", "Studies with a score", counter),
                ("ich_study_decisions_total", "Decisions at each operating point", counter),
                ("ich_study_refused_total", "Studies that broke the contract", counter),
                ("ich_reference_score_share", "Model card: share at or below le", gauge),
                ("ich_reference_studies", "Model card: studies with a score", gauge),
            )
        }
        self._metric("ich_study_refused_total")
        for spec in specs:
            key = spec.sha256[:16]
            for end in (*_UPPER_ENDS, _ALL):
                self._metric("ich_study_score_bucket", key, end, labels={"spec": key, "le": end})
            for name in ("ich_study_score_sum", "ich_study_score_count"):
                self._metric(name, key, labels={"spec": key})
            for point in spec.operating_points:
                for decision in map(str, Decision):
                    labels = {"spec": key, "operating_point": point.name, "decision": decision}
                    self._metric("ich_study_decisions_total", key, point.name, decision,
                                 labels=labels)  # fmt: skip

    def _tell_reference(self, repository: Path) -> None:
        """How the scores of the model card's bleeds and clean heads lie, where they are there."""
        file = repository / REFERENCE_FILE
        if not file.is_file():
            return
        reference = reference_from_json(file.read_text(encoding="utf-8"))
        spec = reference.spec_sha256[:16]
        for truth, scores in (("bleed", reference.bleeds), ("clean", reference.clean)):
            labels = {"spec": spec, "truth": truth}
            self._metric("ich_reference_studies", truth, labels=labels).set(len(scores))
            for end, share in zip(_UPPER_ENDS, shares_below(scores), strict=False):
                metric = self._metric("ich_reference_score_share", truth, end,
                                      labels={**labels, "le": end})  # fmt: skip
                metric.set(share)

    def _metric(self, name: str, *key: str, labels: dict[str, str] | None = None) -> Any:
        metric = self._families[name].Metric(labels=labels or {})
        self._metrics[(name, *key)] = metric
        return metric
