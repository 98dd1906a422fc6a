"""Options and a request's headers -> whether it may come in.

A token comes in a header or, once, in the login form; afterwards a cookie shows that its browser
had it. The cookie is made of the token and a time, so it survives a restart of the server and ends
with another token. Nothing of this stands in an address.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path

from ichclient.errors import BadAccess
from ichclient.worklist.order import Rule

TOKEN_VARIABLE = "ICHCLIENT_WORKLIST_TOKEN"
COOKIE = "ichclient_worklist"
SESSION_S = 12 * 3600
SHORTEST_TOKEN = 16

Headers = Mapping[str, str] | Message
"""Of a request; a Message finds them in any case."""


@dataclass(frozen=True)
class WorklistOptions:
    """Where the page is served, to whom, and what it shows; refused where that is not safe."""

    address: str = "127.0.0.1"
    port: int = 8080
    token: str | None = field(default=None, repr=False)
    certificate: Path | None = None
    key: Path | None = None
    names: tuple[str, ...] = ()
    identity: bool = False
    marking: bool = False
    rule: Rule = field(default_factory=Rule)

    def __post_init__(self) -> None:
        """Raises BadAccess with what is missing."""
        if self.token is not None and len(self.token) < SHORTEST_TOKEN:
            raise BadAccess(
                f"The work list's token has {len(self.token)} characters: use {SHORTEST_TOKEN} or "
                "more, for example of: openssl rand -hex 24"
            )
        if self.token is None and not is_loopback(self.address):
            raise BadAccess(
                f"At {self.address} others could read the work list: give a token (--token-file, "
                f"or {TOKEN_VARIABLE}), and TLS with --tls-cert and --tls-key or a proxy in front."
            )
        if self.token is None and self.marking:
            raise BadAccess(
                f"--allow-marking needs a token: give --token-file, or {TOKEN_VARIABLE}."
            )
        if (self.certificate is None) != (self.key is None):
            raise BadAccess("--tls-cert and --tls-key belong together: give both.")

    @property
    def scheme(self) -> str:
        """How the page is asked for."""
        return "https" if self.certificate else "http"


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches the address."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def is_known_host(host: str | None, names: tuple[str, ...]) -> bool:
    """Whether the header Host is an IP address or one of our names.

    A foreign site can have its own name resolve to this machine (DNS rebinding), but then its name
    stands here. An IP address cannot be pointed elsewhere.
    """
    if host is None:
        return False
    name, _ = _host_and_port(host)
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name.lower() in {"localhost", *(one.lower() for one in names)}
    return True


def is_own_origin(headers: Headers) -> bool:
    """Whether a request that changes something was sent by our own page."""
    site = headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    scheme, _, origin = headers.get("Origin", "").partition("://")
    return scheme in ("http", "https") and origin == headers.get("Host")


def has_bearer(headers: Headers, token: str | None) -> bool:
    """Whether the header Authorization carries the token."""
    scheme, _, given = headers.get("Authorization", "").partition(" ")
    return token is not None and scheme.lower() == "bearer" and is_token(given.strip(), token)


def is_token(given: str, token: str) -> bool:
    """Whether it is the token; takes equally long for whatever is given."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), token.encode())


def cookie_from_token(token: str, now: float, *, secure: bool) -> str:
    """The header Set-Cookie of a browser that had the token."""
    until = int(now) + SESSION_S
    attributes = f"Path=/; Max-Age={SESSION_S}; HttpOnly; SameSite=Strict"
    value = f"{until}.{_signature(token, until)}"
    return f"{COOKIE}={value}; {attributes}{'; Secure' if secure else ''}"


def cookie_that_ends() -> str:
    """The header Set-Cookie that makes a browser forget."""
    return f"{COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict"


def has_session(headers: Headers, token: str | None, now: float) -> bool:
    """Whether the header Cookie shows that this browser had the token, not long ago."""
    if token is None:
        return False
    for part in headers.get("Cookie", "").split(";"):
        name, _, value = part.strip().partition("=")
        until, _, signature = value.partition(".")
        if name != COOKIE or not (until.isascii() and until.isdigit() and len(until) < 16):
            continue
        if int(until) > now and is_token(signature, _signature(token, int(until))):
            return True
    return False


def _signature(token: str, until: int) -> str:
    return hmac.new(token.encode(), f"session {until}".encode(), hashlib.sha256).hexdigest()


def _host_and_port(host: str) -> tuple[str, str]:
    if host.startswith("["):
        name, _, port = host[1:].partition("]")
        return name, port.lstrip(":")
    name, _, port = host.partition(":")
    return name, port
