"""Judgement -> TID 1500 Comprehensive 3D SR: what was looked for, how sure, at which thresholds.

One measurement group for intracranial haemorrhage at each operating point, since they may differ,
and one for each member, which has a certainty but no threshold, and so no word on presence. A
group that says `Present` marks the place where the mask is highest: viewers show nothing of a
report without coordinates. A negative marks no place, since there is none.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ichclient.objects import codes
from ichclient.objects.document import Maker, document_of_groups
from ichclient.objects.judgement import Judgement, device_uid
from ichclient.objects.place import Place, highest_place
from ichclient.objects.references import frames_of
from ichclient.result import DISCLAIMER
from ichcore import Decision


def report_from_judgement(judgement: Judgement) -> bytes:
    """The report of a judged series as a file."""
    place = highest_place(judgement)
    groups = [
        *(
            _point_group(judgement, point, decision, place)
            for point, decision in judgement.result.decisions.items()
        ),
        *(_member_group(judgement, *member) for member in judgement.result.member_scores.items()),
    ]
    maker = Maker(*judgement.name_and_version, device_uid(judgement.result))
    return document_of_groups(judgement.source, judgement.provenance, maker, groups)


def _point_group(judgement: Judgement, point: str, decision: Decision, place: Place | None) -> Any:
    """Whether there is a haemorrhage at one operating point."""
    from highdicom import sr

    facts = _facts(judgement, codes.INTRACRANIAL, "ICH", point, judgement.result.study_score)
    facts["qualitative_evaluations"] = [
        sr.QualitativeEvaluation(
            codes.PRESENCE.concept, codes.PRESENCE_OF_DECISION[decision].concept
        )
    ]
    if place is None or decision is not Decision.POSITIVE:
        return sr.MeasurementsAndQualitativeEvaluations(**facts)
    return sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        referenced_region=_region(judgement, place), **facts
    )


def _member_group(judgement: Judgement, member: str, score: float) -> Any:
    """How sure one member is of what it looks for."""
    from highdicom import sr

    finding = codes.finding_of_member(member)
    return sr.MeasurementsAndQualitativeEvaluations(
        **_facts(judgement, finding, member, None, score)
    )


def _facts(
    judgement: Judgement, finding: codes.CodeRow, what: str, point: str | None, score: float
) -> dict[str, Any]:
    """What the groups of a finding have in common; `score` of 0 to 1 becomes per cent."""
    from highdicom import sr

    label = what if point is None else f"{what} at {point}"
    return {
        "tracking_identifier": sr.TrackingIdentifier(
            uid=judgement.tracking_uid(what, point or ""), identifier=label
        ),
        "finding_type": finding.concept,
        "finding_sites": [sr.FindingSite(codes.BRAIN.concept)],
        "algorithm_id": _algorithm(judgement, point),
        "measurements": [
            sr.Measurement(codes.CERTAINTY.concept, round(100 * score, 3), codes.PERCENT.concept)
        ],
    }


def _algorithm(judgement: Judgement, point: str | None) -> Any:
    """TID 4019: name and version, and in words what else decides the numbers."""
    from highdicom import sr

    result = judgement.result
    name, version = judgement.name_and_version
    said = (
        *(() if point is None else (f"operating point: {point}",)),
        f"members: {', '.join(result.member_scores)}",
        f"provenance: {result.bundle.provenance}",
        f"spec SHA-256: {result.bundle.spec_sha256}",
    )
    return sr.AlgorithmIdentification(
        name=name,
        version=version,
        family=codes.ARTIFICIAL_INTELLIGENCE.concept,
        # One text, since readers are known that keep the first parameter only.
        parameters=["; ".join((*said, DISCLAIMER))],
    )


def _region(judgement: Judgement, place: Place) -> Any:
    """A point in the middle of a pixel, in image coordinates (column, row)."""
    from highdicom import sr

    source = judgement.source
    image = source.images[place.index]
    return sr.ImageRegion(
        graphic_type="POINT",
        graphic_data=np.array([[place.column + 0.5, place.row + 0.5]]),
        source_image=sr.SourceImageForRegion(
            image.SOPClassUID, image.SOPInstanceUID, frames_of(source, image, [place.index])
        ),
    )
