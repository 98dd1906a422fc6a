"""Objects -> a DICOM node by C-STORE; C-FIND says what it has already.

Each storage class is proposed in the transfer syntax in which its objects lie on disk; those that
are not compressed may be asked for in the default syntax too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ichclient.delivery.outbox import Queued
from ichclient.delivery.outcome import Begin, Outcome, Parcel, TargetAway, outcome_of_status
from ichclient.errors import NotOffered, RefusedInput, SourceError, SourceUnreachable
from ichclient.sources.find import rows_found
from ichclient.sources.node import DimseNode
from ichclient.sources.storage import FIND, PLAIN, Context

_MOST_ROWS = 10_000


class StoreRoute:
    """The way to one node, which may be silent for `timeout_s`."""

    def __init__(self, node: DimseNode, timeout_s: float) -> None:
        self._node = node
        self._timeout_s = timeout_s

    def present(self, rows: Sequence[Queued]) -> set[str] | None:
        """The SOPInstanceUIDs that the node lists; None where it does not answer C-FIND."""
        found: set[str] = set()
        try:
            with self._node.association([(FIND, PLAIN)]) as association:
                for row in rows:
                    listed = rows_found(
                        association, self._node.name, self._timeout_s, _MOST_ROWS, "IMAGE",
                        StudyInstanceUID=row.StudyInstanceUID,
                        SeriesInstanceUID=row.SeriesInstanceUID,
                        SOPInstanceUID=row.SOPInstanceUID,
                    )  # fmt: skip
                    if any(one["SOPInstanceUID"] == row.SOPInstanceUID for one in listed):
                        found.add(row.SOPInstanceUID)
        except SourceUnreachable as error:
            raise TargetAway(str(error)) from error
        except (SourceError, RefusedInput):
            return None
        return found

    def send(self, parcels: Sequence[Parcel], begin: Begin) -> Iterator[tuple[Parcel, Outcome]]:
        """Send objects one by one over an association, and over a new one where it broke off."""
        syntaxes = {parcel.row.SOPInstanceUID: _syntax(parcel) for parcel in parcels}
        waiting = list(parcels)
        while waiting:
            wanted = [_context(each, syntaxes[each.row.SOPInstanceUID]) for each in waiting]
            try:
                with self._node.association(list(dict.fromkeys(wanted))) as association:
                    accepted = {
                        (str(one.abstract_syntax), str(one.transfer_syntax[0]))
                        for one in association.accepted_contexts
                    }
                    whole = True
                    while waiting and whole:
                        parcel, (uid, offered) = waiting.pop(0), wanted.pop(0)
                        if not any((uid, syntax) in accepted for syntax in offered):
                            yield parcel, _not_taken(uid, offered)
                        elif begin(parcel):
                            outcome, whole = self._stored(association, parcel)
                            yield parcel, outcome
            except NotOffered:
                for parcel, (uid, offered) in zip(waiting, wanted, strict=True):
                    yield parcel, _not_taken(uid, offered)
                return
            except SourceError as error:
                raise TargetAway(str(error)) from error

    def _stored(self, association: Any, parcel: Parcel) -> tuple[Outcome, bool]:
        """What became of one object, and whether the association goes on."""
        from pydicom import dcmread

        parcel.file.seek(0)
        try:
            answer = association.send_c_store(dcmread(parcel.file))
        except RuntimeError:
            return Outcome("later", "ended the association"), False
        except ValueError:
            return Outcome("refused", "it cannot be written in the syntax that was accepted"), True
        if "Status" not in answer:
            reason = f"broke off, or was silent for {self._timeout_s:.0f} s"
            return Outcome("later", reason, unsure=True), False
        return outcome_of_status(int(answer.Status)), True


def _syntax(parcel: Parcel) -> str:
    """The transfer syntax in which an object lies on disk."""
    from pydicom import dcmread

    parcel.file.seek(0)
    head = dcmread(parcel.file, stop_before_pixels=True, specific_tags=["SOPInstanceUID"])
    return str(head.file_meta.TransferSyntaxUID)


def _context(parcel: Parcel, syntax: str) -> Context:
    return parcel.row.SOPClassUID, PLAIN if syntax in PLAIN else (syntax,)


def _not_taken(uid: str, offered: Sequence[str]) -> Outcome:
    from pydicom.uid import UID

    how = "" if offered == PLAIN else f" in {UID(offered[0]).name}"
    return Outcome("refused", f"it takes no {UID(uid).name}{how} [not_offered]")
