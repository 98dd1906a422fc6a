"""DICOMweb -> files: QIDO-RS says which instances there are, WADO-RS gives them as they are stored.

A series is asked for in one request and written as it arrives. What is missing after that is asked
for one by one, again where the network or the server failed, and never where it answered with a
reason; what is missing then is an error, for half a study looks like a whole one.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from ichclient.errors import NothingFound, RefusedInput, SourceError
from ichclient.retry import NoAnswer
from ichclient.sources.address import DicomwebAddress, Query, is_uid
from ichclient.sources.dicom_json import number_of, value_of
from ichclient.sources.http import HttpService, http_service
from ichclient.sources.limits import Intake
from ichclient.sources.multipart import boundary_from_content_type, parts_from_multipart
from ichclient.sources.options import Progress, SourceOptions

if TYPE_CHECKING:
    import httpx

_STUDY, _SERIES, _INSTANCE = "0020000D", "0020000E", "00080018"
_ACCESSION, _SERIES_INSTANCES = "00080050", "00201209"
_PAGE = 1000
_DICOM = 'multipart/related; type="application/dicom"; transfer-syntax=*'
# The preamble, the mark and the first elements of the file meta information lie in these.
_HEAD_BYTES = 1024
_MARK = slice(128, 132)
_MEDIA_SOP_INSTANCE = re.compile(rb"\x02\x00\x03\x00UI(..)", re.DOTALL)


def fetch_by_dicomweb(
    address: DicomwebAddress, options: SourceOptions, intake: Intake, progress: Progress
) -> None:
    """Fetch every instance of a study or series as `<SeriesInstanceUID>/<SOPInstanceUID>.dcm`.

    Raises NothingFound where the service knows no such study, RefusedInput where it knows several,
    SourceUnreachable where nobody answers and SourceError for every other answer.
    """
    progress("fetching", 0, 0)
    with http_service(address.url, options) as http:
        service = _Service(http)
        study = service.study(address.query)
        wanted = {
            series: service.instances(study, series, count)
            for series, count in service.series(study).items()
        }
        total = sum(map(len, wanted.values()))
        if not total:
            raise NothingFound(f"{address.url} has no images of that study.")
        done = 0
        for series, instances in wanted.items():
            received: set[str] = set()

            def told(uids: set[str] = received, before: int = done) -> None:
                progress("fetching", before + len(uids), total)

            service.fetch(f"/studies/{study}/series/{series}", instances, received, intake, told)
            done += len(received)


class _Service:
    """What a DICOMweb service lists and gives."""

    def __init__(self, http: HttpService) -> None:
        self._http = http
        self._url = http.url
        self._only_series = ""

    def study(self, query: Query) -> str:
        """The StudyInstanceUID of the one study that is asked for."""
        self._only_series = query.SeriesInstanceUID
        if not query.AccessionNumber and query.StudyInstanceUID:
            return query.StudyInstanceUID
        if not query.AccessionNumber:
            found = self._listed("/series", {"SeriesInstanceUID": query.SeriesInstanceUID})
            found = [one for one in found if value_of(one, _SERIES) == query.SeriesInstanceUID]
        else:
            asked = {"AccessionNumber": query.AccessionNumber}
            if query.StudyInstanceUID:
                asked["StudyInstanceUID"] = query.StudyInstanceUID
            # A service may ignore a key that it does not know, and list everything it has.
            found = [
                one
                for one in self._listed("/studies", asked)
                if value_of(one, _ACCESSION) == query.AccessionNumber
                and query.StudyInstanceUID in ("", value_of(one, _STUDY))
            ]
        studies = sorted({self._uid(one, _STUDY) for one in found})
        if not studies:
            raise NothingFound(f"{self._url} knows no such study.")
        if len(studies) > 1:
            raise RefusedInput(
                f"{self._url} knows {len(studies)} studies of that number. Name one by its "
                f"StudyInstanceUID: {', '.join(studies)}. [several_studies]"
            )
        return studies[0]

    def series(self, study: str) -> dict[str, int]:
        """The series of a study, or the one that was asked for, and how many images each has.

        The number is 0 where the service does not say it.
        """
        listed = self._listed(f"/studies/{study}/series", {})
        found = {self._uid(one, _SERIES): number_of(one, _SERIES_INSTANCES) for one in listed}
        if self._only_series:
            found = {uid: count for uid, count in found.items() if uid == self._only_series}
        if not found:
            raise NothingFound(f"{self._url} knows no such study or series.")
        return found

    def instances(self, study: str, series: str, count: int) -> tuple[str, ...]:
        """The SOPInstanceUIDs of a series, which has `count` images or more."""
        listed = self._listed(f"/studies/{study}/series/{series}/instances", {})
        uids = tuple(dict.fromkeys(self._uid(one, _INSTANCE) for one in listed))
        if len(uids) < count:
            raise self._partial(count, count - len(uids))
        return uids

    def fetch(
        self, path: str, instances: Iterable[str], received: set[str], intake: Intake,
        told: Callable[[], None],
    ) -> None:  # fmt: skip
        """Fetch the instances of a series at `path`, and add their UIDs to `received`."""
        folder = path.rpartition("/")[2]
        wanted = set(instances)

        def receive(place: str) -> None:
            with self._http.answer(place, {}, _DICOM) as response:
                try:
                    for part in self._parts(response):
                        uid, content = self._instance(part)
                        if uid in wanted and uid not in received:
                            intake.write(f"{folder}/{uid}.dcm", content)
                            received.add(uid)
                            told()
                except EOFError as error:
                    raise NoAnswer(str(error)) from error

        with contextlib.suppress(NoAnswer, NothingFound):
            receive(path)
        for uid in instances:
            if uid not in received:
                with contextlib.suppress(NothingFound):
                    self._http.again(functools.partial(receive, f"{path}/instances/{uid}"))
        if missing := len(wanted - received):
            raise self._partial(len(wanted), missing)

    def _listed(self, path: str, asked: dict[str, str]) -> list[dict[str, Any]]:
        """All results of a query, page by page until one brings nothing new."""
        found: list[dict[str, Any]] = []
        seen: set[str] = set()
        while True:
            page = {**asked, "limit": str(_PAGE), "offset": str(len(found))}
            new = []
            for one in self._http.again(functools.partial(self._http.listed, path, page)):
                key = json.dumps(one, sort_keys=True)
                if key not in seen:
                    seen.add(key)
                    new.append(one)
            if not new:
                return found
            found += new

    def _parts(self, response: httpx.Response) -> Iterator[Iterator[bytes]]:
        content_type = response.headers.get("content-type", "")
        boundary = boundary_from_content_type(content_type)
        if boundary is None:
            if content_type.partition(";")[0].strip() != "application/dicom":
                raise self._http.garbage(
                    f"{content_type[:80] or 'something'} where DICOM was asked for"
                )
            yield self._http.body(response)
            return
        try:
            yield from parts_from_multipart(self._http.body(response), boundary)
        except ValueError as error:
            raise self._http.garbage(f"an answer where {error}") from error

    def _instance(self, part: Iterator[bytes]) -> tuple[str, Iterator[bytes]]:
        """The SOPInstanceUID of an instance from its first bytes, and all its bytes."""
        head = b""
        for chunk in part:
            head += chunk
            if len(head) >= _HEAD_BYTES:
                break
        named = _MEDIA_SOP_INSTANCE.search(head[:_HEAD_BYTES])
        if head[_MARK] != b"DICM" or named is None:
            raise self._http.garbage("something that is no DICOM file")
        length = int.from_bytes(named[1], "little")
        uid = head[named.end() : named.end() + length].rstrip(b"\0 ").decode("ascii", "replace")
        return uid, itertools.chain([head], part)

    def _partial(self, count: int, missing: int) -> SourceError:
        return SourceError(
            f"{self._url} has {count} images of a series and did not give {missing} of them. Part "
            "of a study is not judged; ask whoever runs it. [partial_study]"
        )

    def _uid(self, one: dict[str, Any], tag: str) -> str:
        uid = value_of(one, tag)
        if not is_uid(uid):
            raise self._http.garbage("a list that lacks UIDs")
        return uid
