"""HTTP as the client speaks it to a PACS: certificates, signing in, patience, and its failures.

The only place that knows httpx.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from ichclient.errors import (
    MissingExtra,
    NothingFound,
    ServerUnreachable,
    SourceError,
    SourceUnreachable,
)
from ichclient.retry import NoAnswer, Retry
from ichclient.sources.limits import MIB
from ichclient.sources.options import SourceOptions
from ichclient.sources.tls import tls_context

if TYPE_CHECKING:
    import httpx

# Slower than any line that images are sent over.
_SLOWEST_BYTES_PER_S = 10_000
_LONGEST_JSON_BYTES = 64 * MIB
_DICOM_JSON = "application/dicom+json"
_NOT_IMPLEMENTED = 501


class NoConnection(NoAnswer):
    """Nobody took the connection, so nothing was sent."""


class HttpService:
    """The requests to the service at `url`, each answered or failed with one sentence."""

    def __init__(self, client: httpx.Client, url: str, options: SourceOptions) -> None:
        self.url = url
        self._client = client
        self._timeout_s = options.timeout_s
        self._retry = Retry(options.retry_s)

    @contextmanager
    def answer(self, path: str, asked: dict[str, str], accept: str) -> Iterator[httpx.Response]:
        """The answer to a question, when it is one that may be used."""
        # Not httpx's own: it writes a space as a plus, which not every service reads.
        query = "?" + urlencode(asked, quote_via=quote) if asked else ""
        with self._answer("GET", path + query, {"Accept": accept}) as response:
            self._refuse_status(response)
            yield response

    @contextmanager
    def answer_to_store(
        self, path: str, content: Iterable[bytes], length: int, content_type: str
    ) -> Iterator[httpx.Response]:
        """The answer to a POST of `length` bytes, whatever its status says.

        Raises NoConnection where nothing was sent, and NoAnswer where that is not known.
        """
        headers = {
            "Accept": _DICOM_JSON,
            "Content-Type": content_type,
            "Content-Length": str(length),
        }
        with self._answer("POST", path, headers, content) as response:
            yield response

    @contextmanager
    def _answer(
        self,
        method: str,
        path: str,
        headers: dict[str, str],
        content: Iterable[bytes] | None = None,
    ) -> Iterator[httpx.Response]:
        import httpx

        headers = {**headers, "Accept-Encoding": "identity"}
        try:
            with self._client.stream(
                method, self.url + path, headers=headers, content=content
            ) as response:
                yield response
        except httpx.TransportError as error:
            reason = str(error) or type(error).__name__
            if "CERTIFICATE_VERIFY_FAILED" in reason:
                raise SourceError(
                    f"The certificate of {self.url} is not trusted. Name the hospital's own with "
                    "--ca. [certificate]"
                ) from error
            if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout)):
                raise NoConnection(reason) from error
            raise NoAnswer(reason) from error
        except (httpx.InvalidURL, httpx.DecodingError) as error:
            raise self.garbage(f"an answer that cannot be read ({error})") from error

    def listed(self, path: str, asked: dict[str, str]) -> list[dict[str, Any]]:
        """What a question lists, in DICOM's JSON."""
        with self.answer(path, asked, _DICOM_JSON) as response:
            if response.status_code == 204:
                return []
            page = self.json(response)
        if page is None:
            return []
        if not isinstance(page, list) or not all(isinstance(one, dict) for one in page):
            raise self.garbage("a list that is none")
        return page

    def json(self, response: httpx.Response) -> Any:
        """The body of an answer as JSON; None where it is empty."""
        text = bytearray()
        for chunk in self.body(response):
            text += chunk
            if len(text) > _LONGEST_JSON_BYTES:
                raise self.garbage("a list without an end")
        try:
            return json.loads(text) if text else None
        except (ValueError, RecursionError) as error:
            raise self.garbage("a list that is no JSON") from error

    def _refuse_status(self, response: httpx.Response) -> None:
        status = response.status_code
        if status in (200, 204, 206):
            return
        if status >= 500 and status != _NOT_IMPLEMENTED:
            raise NoAnswer(f"HTTP status {status}")
        if status in (401, 403):
            raise SourceError(
                f"{self.url} does not let us in (HTTP status {status}). Set "
                "ICHCLIENT_DICOMWEB_TOKEN, or ICHCLIENT_DICOMWEB_USER and "
                "ICHCLIENT_DICOMWEB_PASSWORD, in the environment. [not_allowed]"
            )
        if status == 404:
            raise NothingFound(f"{self.url} knows no such study, or is no DICOMweb service.")
        raise SourceError(f"{self.url} answered with HTTP status {status}. Check the address.")

    def body(self, response: httpx.Response) -> Iterator[bytes]:
        """The pieces of an answer; given up where they come too slowly."""
        started, count = time.monotonic(), 0
        for chunk in response.iter_bytes():
            count += len(chunk)
            passed = time.monotonic() - started
            if passed > self._timeout_s and count < _SLOWEST_BYTES_PER_S * passed:
                raise SourceUnreachable(
                    f"{self.url} sent only {count} bytes in {passed:.1f} s. Try again later, or "
                    "wait longer with --fetch-timeout."
                )
            yield chunk

    def again(self, call: Callable[[], Any]) -> Any:
        """The answer of a call, tried again where nobody answered."""
        try:
            return self._retry.answer(call, who=self.url)
        except ServerUnreachable as error:
            raise SourceUnreachable(
                f"No answer from {self.url} ({error.__cause__}). Check the address, and that the "
                "service runs."
            ) from error

    def garbage(self, what: str) -> SourceError:
        """The error for an answer that no DICOMweb service gives."""
        return SourceError(
            f"{self.url} sent {what}. Check that it is the root of a DICOMweb service. [garbage]"
        )


@contextmanager
def http_service(url: str, options: SourceOptions) -> Iterator[HttpService]:
    """A service whose certificate is verified, signed in to from the environment."""
    try:
        import httpx
    except ImportError as error:
        raise MissingExtra("DICOMweb needs httpx: pip install 'ich-triton[dicomweb]'") from error
    # These write whole addresses, and with them accession numbers, into a program's log.
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)
    token = os.environ.get("ICHCLIENT_DICOMWEB_TOKEN")
    user = os.environ.get("ICHCLIENT_DICOMWEB_USER")
    password = os.environ.get("ICHCLIENT_DICOMWEB_PASSWORD", "")
    with httpx.Client(
        verify=tls_context(options),
        timeout=options.timeout_s,
        auth=(user, password) if user else None,
        headers={"Authorization": f"Bearer {token}"} if token else None,
    ) as client:
        yield HttpService(client, url, options)
