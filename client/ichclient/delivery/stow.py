"""Objects -> a DICOMweb service by STOW-RS; QIDO-RS says what it has already.

The objects of a group go in one request, as they lie on disk. One that may have been the cause of
an earlier failure goes alone, so that it cannot hold up the others.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from ichclient.delivery.outbox import SENDING, Queued
from ichclient.delivery.outcome import Begin, Outcome, Parcel, TargetAway, outcome_of_status
from ichclient.errors import NothingFound, SourceError, SourceUnreachable
from ichclient.retry import NoAnswer
from ichclient.sources.dicom_json import items_of, number_of, value_of
from ichclient.sources.http import HttpService, NoConnection
from ichclient.sources.limits import MIB, chunks_from_file

_LONGEST_REQUEST_BYTES = 64 * MIB
_INSTANCE = "00080018"
_FAILED, _REFERENCED = "00081198", "00081199"
_REFERENCED_UID, _WARNING, _FAILURE = "00081155", "00081196", "00081197"
# Here one object may spoil a whole request: the others are tried without it.
_SPLIT = (400, 409, 413, 415, 422)
# A client may come again after these.
_LATER = (408, 425, 429)
_REASONS = {
    401: "it wants ICHCLIENT_DICOMWEB_TOKEN, or _USER and _PASSWORD, in the environment",
    403: "it does not allow this to whoever signs in so",
    404: "there is no STOW-RS service at this address",
    405: "there is no STOW-RS service at this address",
    413: "the object is too large for it",
    415: "it does not take such objects",
}


class StowRoute:
    """The way to one service."""

    def __init__(self, http: HttpService) -> None:
        self._http = http

    def present(self, rows: Sequence[Queued]) -> set[str] | None:
        """The SOPInstanceUIDs that the service lists; None where it has no QIDO-RS."""
        found: set[str] = set()
        for row in rows:
            series = f"/studies/{row.StudyInstanceUID}/series/{row.SeriesInstanceUID}"
            asked = {"SOPInstanceUID": row.SOPInstanceUID}
            try:
                listed = self._http.listed(f"{series}/instances", asked)
            except NothingFound:
                continue
            except NoAnswer as error:
                raise TargetAway(f"cannot be asked what it has: {error}") from error
            except SourceUnreachable as error:
                raise TargetAway(str(error)) from error
            except SourceError:
                return None
            # A service may ignore a key that it does not know, and list everything it has.
            if row.SOPInstanceUID in {value_of(one, _INSTANCE) for one in listed}:
                found.add(row.SOPInstanceUID)
        return found

    def send(self, parcels: Sequence[Parcel], begin: Begin) -> Iterator[tuple[Parcel, Outcome]]:
        """Send objects of one group in as few requests as may be."""
        for batch in _batches(parcels):
            yield from self._sent(batch, begin)

    def _sent(self, batch: Sequence[Parcel], begin: Begin) -> Iterator[tuple[Parcel, Outcome]]:
        going = [parcel for parcel in batch if begin(parcel)]
        if not going:
            return
        try:
            status, said = self._answer(going)
        except NoConnection as error:
            raise TargetAway(f"no answer ({error})") from error
        except (NoAnswer, SourceUnreachable) as error:
            reason = f"broke off, or was silent ({error})"
            yield from ((parcel, Outcome("later", reason, unsure=True)) for parcel in going)
            return
        except SourceError as error:
            raise TargetAway(str(error)) from error
        if status in _SPLIT and said is None and len(going) > 1:
            yield from self._one_by_one(going, begin)
            return
        outcomes = _outcomes(status, said)
        named = [parcel for parcel in going if parcel.row.SOPInstanceUID in outcomes]
        yield from ((parcel, outcomes[parcel.row.SOPInstanceUID]) for parcel in named)
        yield from self._unnamed(status, [each for each in going if each not in named])

    def _answer(self, going: Sequence[Parcel]) -> tuple[int, Any]:
        """The status of a store request, and its response in JSON; None where it has none."""
        boundary = uuid.uuid4().hex
        head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        tail = f"--{boundary}--\r\n".encode()

        def body() -> Iterator[bytes]:
            for parcel in going:
                yield head
                parcel.file.seek(0)
                yield from chunks_from_file(parcel.file)
                yield b"\r\n"
            yield tail

        length = sum(len(head) + parcel.length + 2 for parcel in going) + len(tail)
        kind = f'multipart/related; type="application/dicom"; boundary={boundary}'
        with self._http.answer_to_store("/studies", body(), length, kind) as response:
            said = None
            if "json" in response.headers.get("content-type", ""):
                try:
                    said = self._http.json(response)
                except SourceUnreachable:
                    raise
                except SourceError:
                    said = None  # the status tells something still
            return response.status_code, said

    def _one_by_one(
        self, going: Sequence[Parcel], begin: Begin
    ) -> Iterator[tuple[Parcel, Outcome]]:
        """Each in a request of its own, except what the failed request has stored after all."""
        there = self.present([parcel.row for parcel in going]) or set()
        for parcel in going:
            if parcel.row.SOPInstanceUID in there:
                yield parcel, Outcome("stored")
            else:
                yield from self._sent([parcel], begin)

    def _unnamed(self, status: int, rest: Sequence[Parcel]) -> Iterator[tuple[Parcel, Outcome]]:
        """What became of objects of which the response says nothing by name."""
        if not rest:
            return
        there: set[str] = set()
        reason = f"HTTP status {status}"
        if status in _REASONS:
            reason += f": {_REASONS[status]}"
        otherwise = Outcome("refused", reason)
        if status == 200:
            otherwise = Outcome("stored")
        elif status >= 500:
            otherwise = Outcome("later", reason, unsure=True)
        elif status in _LATER:
            otherwise = Outcome("later", reason)
        elif status in (202, 409):
            there = self.present([parcel.row for parcel in rest]) or set()
        for parcel in rest:
            stored = parcel.row.SOPInstanceUID in there
            yield parcel, Outcome("stored") if stored else otherwise


def _batches(parcels: Sequence[Parcel]) -> Iterator[list[Parcel]]:
    """Requests of a bounded size; whatever may have gone wrong before stands alone, at the end."""
    batch: list[Parcel] = []
    for parcel in parcels:
        if parcel.row.state == SENDING:
            continue
        if batch and sum(each.length for each in batch) + parcel.length > _LONGEST_REQUEST_BYTES:
            yield batch
            batch = []
        batch.append(parcel)
    if batch:
        yield batch
    yield from ([parcel] for parcel in parcels if parcel.row.state == SENDING)


def _outcomes(status: int, said: Any) -> dict[str, Outcome]:
    """What a store response (PS3.18 Annex I) says of the instances that it names."""
    outcomes: dict[str, Outcome] = {}
    if status >= 300 and status != 409:
        return outcomes
    for item in items_of(said, _REFERENCED):
        outcomes[value_of(item, _REFERENCED_UID)] = outcome_of_status(number_of(item, _WARNING))
    for item in items_of(said, _FAILED):
        # A failure without a reason is a failure.
        reason = number_of(item, _FAILURE) or 0x0110
        outcomes[value_of(item, _REFERENCED_UID)] = outcome_of_status(reason)
    return outcomes
