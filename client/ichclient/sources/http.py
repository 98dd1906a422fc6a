"""HTTP as the client speaks it to a PACS: certificates, signing in, patience, and its failures.

The only place that knows httpx.
"""

from __future__ import annotations

import logging
import os
import ssl
import time
from collections.abc import Callable, Iterator
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
from ichclient.sources.options import SourceOptions

if TYPE_CHECKING:
    import httpx

# Slower than any line that images are sent over.
_SLOWEST_BYTES_PER_S = 10_000


class HttpService:
    """The requests to the service at `url`, each answered or failed with one sentence."""

    def __init__(self, client: httpx.Client, url: str, options: SourceOptions) -> None:
        self.url = url
        self._client = client
        self._timeout_s = options.timeout_s
        self._retry = Retry(options.retry_s)

    @contextmanager
    def answer(self, path: str, asked: dict[str, str], accept: str) -> Iterator[httpx.Response]:
        """The answer to a request, when it is one that may be used."""
        import httpx

        headers = {"Accept": accept, "Accept-Encoding": "identity"}
        try:
            # Not httpx's own: it writes a space as a plus, which not every service reads.
            query = "?" + urlencode(asked, quote_via=quote) if asked else ""
            with self._client.stream("GET", self.url + path + query, headers=headers) as response:
                self._refuse_status(response)
                yield response
        except httpx.TransportError as error:
            reason = str(error) or type(error).__name__
            if "CERTIFICATE_VERIFY_FAILED" in reason:
                raise SourceError(
                    f"The certificate of {self.url} is not trusted. Name the hospital's own with "
                    "--ca. [certificate]"
                ) from error
            raise NoAnswer(reason) from error
        except (httpx.InvalidURL, httpx.DecodingError) as error:
            raise self.garbage(f"an answer that cannot be read ({error})") from error

    def _refuse_status(self, response: httpx.Response) -> None:
        status = response.status_code
        if status in (200, 204, 206):
            return
        if status >= 500:
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
    try:
        trusted = ssl.create_default_context(cafile=options.ca_file)
    except OSError as error:
        raise SourceError(
            f"{options.ca_file} holds no certificates that can be read. Name a PEM file with --ca."
        ) from error
    token = os.environ.get("ICHCLIENT_DICOMWEB_TOKEN")
    user = os.environ.get("ICHCLIENT_DICOMWEB_USER")
    password = os.environ.get("ICHCLIENT_DICOMWEB_PASSWORD", "")
    with httpx.Client(
        verify=trusted,
        timeout=options.timeout_s,
        auth=(user, password) if user else None,
        headers={"Authorization": f"Bearer {token}"} if token else None,
    ) as client:
        yield HttpService(client, url, options)
