"""What the user typed -> where objects go.

stow:https://HOST/dicom-web          a DICOMweb service, by STOW-RS
dimse:CALLED_AE_TITLE@HOST:PORT      a DICOM node, by C-STORE
dimse-tls:CALLED_AE_TITLE@HOST:PORT  the same over TLS
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import urlsplit

from ichclient.sources.address import NodeAddress, node_from_text, service_from_text

_SCHEME = re.compile(r"(stow|dimse|dimse-tls):", re.IGNORECASE)


@dataclass(frozen=True)
class StowTarget:
    """A DICOMweb service; `url` ends without a slash."""

    url: str

    def __str__(self) -> str:
        return f"stow:{self.url}"

    @property
    def in_the_clear(self) -> bool:
        """Whether whoever listens on the way reads along."""
        parts = urlsplit(self.url)
        return parts.scheme == "http" and not _is_loopback(parts.hostname or "")


@dataclass(frozen=True)
class NodeTarget:
    """A DICOM node."""

    node: NodeAddress

    def __str__(self) -> str:
        return f"{'dimse-tls' if self.node.tls else 'dimse'}:{self.node}"

    @property
    def in_the_clear(self) -> bool:
        """Whether whoever listens on the way reads along."""
        return not self.node.tls and not _is_loopback(self.node.host)


Target: TypeAlias = StowTarget | NodeTarget
"""As a text it is the target's name in the outbox, and reads back as the same target."""


def target_from_text(text: str) -> Target:
    """Read what the user typed; raises ValueError, whose words say what was expected."""
    scheme = _SCHEME.match(text)
    if scheme is None:
        raise ValueError(
            "name a target as stow:https://HOST/dicom-web, dimse:CALLED_AE_TITLE@HOST:PORT or "
            "dimse-tls:CALLED_AE_TITLE@HOST:PORT"
        )
    place = text[scheme.end() :]
    if "?" in place:
        raise ValueError("a target has no question mark: objects say themselves where they belong")
    kind = scheme[1].lower()
    if kind == "stow":
        return StowTarget(service_from_text(place, "stow:"))
    return NodeTarget(node_from_text(place, tls=kind == "dimse-tls"))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
