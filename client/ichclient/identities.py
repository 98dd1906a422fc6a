"""Stacks of one folder -> whether they are one study of one patient: the findings about a study."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ichclient.findings import Found
from ichclient.site import Site

if TYPE_CHECKING:
    from ichclient.stacks import Stack


def mixed_studies(stacks: Sequence[Stack], _: Site) -> Found | None:
    """Several studies, of one patient or of more."""
    headers = [header for stack in stacks for header in stack.slices]
    studies = {header.StudyInstanceUID for header in headers}
    patients = {header.patient_key for header in headers}
    if len(studies) <= 1:
        return None
    return Found(
        f"there are {len(studies)} studies of {len(patients)} patient(s) here. "
        "Judge each with infer --each, give the folder of one, or name one series with --series.",
        {"studies": len(studies), "patients": len(patients)},
    )


def patient_mismatch(stacks: Sequence[Stack], _: Site) -> Found | None:
    """One study under several patients, by PatientID, its issuer, name and birth date."""
    headers = [header for stack in stacks for header in stack.slices]
    patients = {(header.StudyInstanceUID, header.patient_key) for header in headers}
    if len(patients) <= len({header.StudyInstanceUID for header in headers}):
        return None
    return Found(
        f"the files of one study carry {len(patients)} patient identities, so whose "
        "images these are is unknown. Export the study again.",
        {"patients": len(patients)},
    )
