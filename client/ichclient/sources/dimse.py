"""DIMSE -> files: C-FIND says which instances there are, C-GET or C-MOVE brings them as they are.

Because the instances are listed first, only the storage classes that will come are proposed, and
what did not come is known: a part of a study is an error, for it looks like a whole one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ichclient.errors import NothingFound, RefusedInput, SourceError, SourceUnreachable
from ichclient.sources.address import DimseAddress, Query, is_uid
from ichclient.sources.find import answers_from_node, identifier, rows_found, status_refused
from ichclient.sources.limits import Intake
from ichclient.sources.node import DimseNode
from ichclient.sources.options import Progress, SourceOptions
from ichclient.sources.storage import (
    FIND,
    GET,
    MOVE,
    PLAIN,
    Wanted,
    classes_of,
    storage_contexts,
)

_CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
_MOST_CONTEXTS = 128
_SUCCESS = 0x0000
_OUT_OF_RESOURCES, _NOT_ASKED_FOR = 0xA700, 0x0124
_UNKNOWN_DESTINATION = 0xA801


def fetch_by_dimse(
    address: DimseAddress, options: SourceOptions, intake: Intake, progress: Progress
) -> None:
    """Fetch every instance of a study or series as `<SeriesInstanceUID>/<SOPInstanceUID>.dcm`.

    Raises NothingFound where the node knows no such study, RefusedInput where it knows several,
    SourceUnreachable where nobody answers or the transfer breaks off, SourceError for every other
    answer, and PortInUse where the port to move to is taken.
    """
    progress("fetching", 0, 0)
    archive = _Archive(DimseNode(address.node, options, intake.name), options)
    study, wanted = archive.listed(address.query, intake.limits.max_files)
    total = sum(map(len, wanted.values()))
    if not total:
        raise NothingFound(f"{intake.name} has no images of that study.")
    receiver = _Receiver(wanted, intake, progress)
    if options.move_port is None:
        archive.get(study, wanted, receiver)
    else:
        archive.move(study, wanted, receiver, options.move_port)
    if missing := total - len(receiver.received):
        raise _partial_study(intake.name, total, missing)


@dataclass
class _Receiver:
    """Takes in what is sent, and remembers why it could not."""

    wanted: Wanted
    intake: Intake
    progress: Progress
    received: set[str] = field(default_factory=set)
    error: Exception | None = None

    def __post_init__(self) -> None:
        self._series = {uid: series for series, uids in self.wanted.items() for uid in uids}

    def store(self, event: Any) -> int:
        """Write one instance, bytes as they came; answers with a DIMSE status."""
        uid = str(event.request.AffectedSOPInstanceUID)
        series = self._series.get(uid)
        if series is None:
            return _NOT_ASKED_FOR
        if self.error is not None:
            return _OUT_OF_RESOURCES
        if uid in self.received:
            return _SUCCESS
        try:
            self.intake.write(f"{series}/{uid}.dcm", [event.encoded_dataset()])
        except Exception as error:  # pynetdicom would only log it
            self.error = error
            return _OUT_OF_RESOURCES
        self.received.add(uid)
        self.progress("fetching", len(self.received), len(self._series))
        return _SUCCESS


class _Archive:
    """What a node lists and sends."""

    def __init__(self, node: DimseNode, options: SourceOptions) -> None:
        self._node = node
        self._name = node.name
        self._options = options

    def listed(self, query: Query, most: int) -> tuple[str, Wanted]:
        """The StudyInstanceUID, and every instance that is to come."""
        with self._node.association([(FIND, PLAIN)]) as association:
            found = partial(rows_found, association, self._name, self._options.timeout_s, most)
            study = self._study(found, query)
            series = {
                self._uid(one, "SeriesInstanceUID"): one["NumberOfSeriesRelatedInstances"]
                for one in found(
                    "SERIES", StudyInstanceUID=study, SeriesInstanceUID=query.SeriesInstanceUID,
                    NumberOfSeriesRelatedInstances="",
                )
                if query.SeriesInstanceUID in ("", one["SeriesInstanceUID"])
            }  # fmt: skip
            return study, {
                uid: self._images(found, study, uid, int(count) if count.isdecimal() else 0)
                for uid, count in sorted(series.items())
            }

    def _study(self, found: Callable[..., list[dict[str, str]]], query: Query) -> str:
        """The one study that is asked for."""
        if query.StudyInstanceUID and not query.AccessionNumber:
            return query.StudyInstanceUID
        keyword = "AccessionNumber" if query.AccessionNumber else "SeriesInstanceUID"
        keys = {keyword: getattr(query, keyword), "StudyInstanceUID": query.StudyInstanceUID}
        level = "STUDY" if query.AccessionNumber else "SERIES"
        # A node may ignore a key that it does not know, and list everything it has.
        studies = sorted(
            {
                self._uid(one, "StudyInstanceUID")
                for one in found(level, **keys)
                if all(value in ("", one[key]) for key, value in keys.items())
            }
        )
        if not studies:
            raise NothingFound(
                f"{self._name} knows no such study. For a series, give StudyInstanceUID as well."
            )
        if len(studies) > 1:
            raise RefusedInput(
                f"{self._name} knows {len(studies)} studies of that number. Name one by its "
                f"StudyInstanceUID: {', '.join(studies)}. [several_studies]"
            )
        return studies[0]

    def _images(
        self, found: Callable[..., list[dict[str, str]]], study: str, series: str, count: int
    ) -> dict[str, str]:
        """The images of a series, which has `count` of them or more."""
        listed = found(
            "IMAGE", StudyInstanceUID=study, SeriesInstanceUID=series, SOPInstanceUID="",
            SOPClassUID="",
        )  # fmt: skip
        images = {
            self._uid(one, "SOPInstanceUID"): one["SOPClassUID"] or _CT_IMAGE for one in listed
        }
        if len(images) < count:
            raise _partial_study(self._name, count, count - len(images))
        return images

    def get(self, study: str, wanted: Wanted, receiver: _Receiver) -> None:
        """Have the instances sent over the association that asks for them."""
        classes = classes_of(wanted)
        contexts = [(GET, PLAIN), *storage_contexts(classes, _MOST_CONTEXTS - 1)]
        with self._node.association(contexts, classes, receiver.store) as association:
            for series in wanted:
                self._transfer(association.send_c_get, GET, study, series, receiver)

    def move(self, study: str, wanted: Wanted, receiver: _Receiver, port: int) -> None:
        """Have the instances sent to a storage service of our own."""
        with (
            self._node.storage_service(port, classes_of(wanted), receiver.store),
            self._node.association([(MOVE, PLAIN)]) as association,
        ):
            send = partial(_send_c_move, association, self._options.ae_title)
            for series in wanted:
                self._transfer(send, MOVE, study, series, receiver)

    def _transfer(
        self, send: Callable[..., Any], model: str, study: str, series: str, receiver: _Receiver
    ) -> None:
        """Have one series sent, to its end or to an error that says why not."""
        keys = identifier("SERIES", StudyInstanceUID=study, SeriesInstanceUID=series)
        failed, status = 0, None
        for answer, _ in answers_from_node(self._name, send, keys, model):
            status = answer.get("Status")
            failed = max(failed, answer.get("NumberOfFailedSuboperations") or 0)
            if receiver.error is not None:
                break  # leaving the association aborts it, and the rest is not sent
        if receiver.error is not None:
            raise receiver.error
        if status is None:
            raise SourceUnreachable(
                f"{self._name} broke off after {len(receiver.received)} images, or was silent for "
                f"{self._options.timeout_s:.0f} s. Try again later. [partial_study]"
            )
        if status == _UNKNOWN_DESTINATION:
            raise SourceError(
                f"{self._name} knows no destination {self._options.ae_title}. Have it know this "
                "client's AE title, host and port, or leave out --move-port. [move_destination]"
            )
        if failed:
            raise _partial_study(self._name, len(receiver.wanted[series]), failed)
        if status != _SUCCESS:
            raise status_refused(self._name, status)

    def _uid(self, one: dict[str, str], keyword: str) -> str:
        if not is_uid(one[keyword]):
            raise SourceError(f"{self._name} lists something without a {keyword}. [garbage]")
        return one[keyword]


def _send_c_move(association: Any, destination: str, keys: Any, model: str) -> Any:
    return association.send_c_move(keys, destination, model)


def _partial_study(name: str, count: int, missing: int) -> SourceError:
    return SourceError(
        f"{name} has {count} images and did not give {missing} of them. Part of a study is not "
        "judged; ask whoever runs it. [partial_study]"
    )
