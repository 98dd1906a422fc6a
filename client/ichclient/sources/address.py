"""What the user typed -> a path on this machine, or the address of a study on a PACS.

    dicomweb:https://HOST/PATH?StudyInstanceUID=UID
    dimse:CALLED_AE_TITLE@HOST:PORT?AccessionNumber=NUMBER

The part behind the question mark is DICOM's own: one keyword or two, as QIDO-RS spells them. The
part before it, a service or a node, is read for `delivery/targets.py` too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias
from urllib.parse import parse_qsl, urlsplit

_UID = re.compile(r"[0-9][0-9.]{0,63}")
_AE_TITLE = re.compile(r"[\x21-\x5b\x5d-\x7e](?:[\x20-\x5b\x5d-\x7e]{0,14}[\x21-\x5b\x5d-\x7e])?")
_SCHEME = re.compile(r"(dicomweb|dimse|dimse-tls):", re.IGNORECASE)
_EXAMPLE = "for example ?StudyInstanceUID=1.2.3 or ?AccessionNumber=A123"
_LONGEST_ACCESSION = 64


@dataclass(frozen=True)
class Query:
    """Which study or series: by a UID, or by the number that the hospital gave the study."""

    StudyInstanceUID: str = ""
    SeriesInstanceUID: str = ""
    AccessionNumber: str = ""

    def __post_init__(self) -> None:
        """A wildcard or an empty query would fetch what nobody asked for."""
        if not (self.StudyInstanceUID or self.SeriesInstanceUID or self.AccessionNumber):
            raise ValueError(f"say which study, {_EXAMPLE}")
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID"):
            value = getattr(self, keyword)
            if value and not is_uid(value):
                raise ValueError(f"{keyword} is no UID: digits and dots, 64 at most")
        accession = self.AccessionNumber
        if len(accession) > _LONGEST_ACCESSION or re.search(r"[*?\\\x00-\x1f]", accession):
            raise ValueError("AccessionNumber may hold no wildcard and no backslash")


@dataclass(frozen=True)
class DicomwebAddress:
    """A DICOMweb service and what to fetch from it; `url` ends without a slash."""

    url: str
    query: Query


@dataclass(frozen=True)
class NodeAddress:
    """Where a DICOM node listens, and by which name it is called."""

    called_ae_title: str
    host: str
    port: int
    tls: bool = False

    def __str__(self) -> str:
        """As people write it; two colons and more belong to the host."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.called_ae_title}@{host}:{self.port}"


@dataclass(frozen=True)
class DimseAddress:
    """A DICOM node and what to fetch from it."""

    node: NodeAddress
    query: Query


Address: TypeAlias = Path | DicomwebAddress | DimseAddress


def address_from_text(text: str) -> Address:
    """Read what the user typed; raises ValueError, whose words say what was expected."""
    if re.match(r"https?://", text, re.IGNORECASE):
        raise ValueError(f"put 'dicomweb:' before the address of a DICOMweb service, {_EXAMPLE}")
    scheme = _SCHEME.match(text)
    if scheme is None:
        return Path(text)
    place, _, asked = text[scheme.end() :].partition("?")
    query = _query(asked)
    if scheme[1].lower() == "dicomweb":
        return DicomwebAddress(service_from_text(place, "dicomweb:"), query)
    return DimseAddress(node_from_text(place, tls=scheme[1].lower() == "dimse-tls"), query)


def service_from_text(place: str, scheme: str) -> str:
    """The URL of a DICOMweb service without a slash at its end; raises ValueError.

    `scheme` is what the user put before it.
    """
    parts = urlsplit(place)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.fragment:
        raise ValueError(f"behind '{scheme}' stands a URL, such as https://host/dicom-web")
    if parts.username or parts.password:
        raise ValueError(
            "a password does not belong into an address; set the environment variables "
            "ICHCLIENT_DICOMWEB_USER and ICHCLIENT_DICOMWEB_PASSWORD"
        )
    return place.rstrip("/")


def node_from_text(place: str, *, tls: bool) -> NodeAddress:
    """A node from CALLED_AE_TITLE@HOST:PORT; raises ValueError."""
    title, at, socket = place.rpartition("@")
    host, colon, port = socket.rpartition(":")
    valid = at and colon and host and is_ae_title(title) and port.isdecimal()
    if not valid or not 0 < int(port) < 65536:
        raise ValueError("behind 'dimse:' stands CALLED_AE_TITLE@HOST:PORT, such as PACS@host:104")
    return NodeAddress(title, host.strip("[]"), int(port), tls)


def is_uid(text: str) -> bool:
    """Whether a text may be a UID; only such a text becomes part of a path or a request."""
    return _UID.fullmatch(text) is not None


def is_ae_title(text: str) -> bool:
    """Whether a text may name a DICOM application: 1 to 16 characters, no backslash."""
    return _AE_TITLE.fullmatch(text) is not None


def _query(asked: str) -> Query:
    try:
        pairs = parse_qsl(asked, keep_blank_values=True, strict_parsing=bool(asked))
    except ValueError:
        raise ValueError(f"behind the question mark stands KEYWORD=VALUE, {_EXAMPLE}") from None
    known = Query.__dataclass_fields__
    unknown = [key for key, _ in pairs if key not in known]
    if unknown:
        raise ValueError(f"{unknown[0]} is none of {', '.join(known)}")
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a keyword stands there twice")
    return Query(**{key: value.strip() for key, value in pairs})
