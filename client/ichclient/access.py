"""How to show oneself to a secured Triton, and how to know that it is the right one.

TLS with the authority to trust, a certificate of one's own, and a token in a header. Nothing here
opens a connection. A token never stands on a command line, in a log or in a `repr`.
"""

from __future__ import annotations

import ipaddress
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ichclient.errors import BadAccess

TOKEN_VARIABLE = "ICHCLIENT_TRITON_TOKEN"
TOKEN_HEADER = "triton-grpc-protocol-client"
"""What Triton reads for `--grpc-restricted-protocol=...:client=TOKEN`."""


@dataclass(frozen=True)
class ServerAccess:
    """How to reach one server or several of the same kind; without `tls` all of it is readable.

    `ca` holds the certificates (PEM) to trust instead of the system's. `certificate` and `key`
    (PEM) are this client's own, for a server that asks for them. `server_name` is the name in the
    server's certificate where it is not that of the address.
    """

    tls: bool = False
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    server_name: str | None = None
    token: str | None = field(default=None, repr=False)
    token_header: str = TOKEN_HEADER

    def __post_init__(self) -> None:
        """Refuse what contradicts itself, and what no header could carry."""
        of_tls = (self.ca, self.certificate, self.key, self.server_name)
        if not self.tls and any(value is not None for value in of_tls):
            raise BadAccess("Certificates and a server's name belong to TLS: add --tls.")
        if (self.certificate is None) != (self.key is None):
            raise BadAccess("A client certificate and its key belong together: give both.")
        if not re.fullmatch(r"[a-z0-9_.-]+", self.token_header):
            raise BadAccess(
                f"'{self.token_header}' is no header: use small letters, digits and _ . - alone."
            )
        if self.token is not None and not re.fullmatch(r"[!-~]([ -~]*[!-~])?", self.token):
            raise BadAccess("A token is one line of plain characters, and not empty.")

    @property
    def headers(self) -> dict[str, str]:
        """What every call carries."""
        return {} if self.token is None else {self.token_header: self.token}


OPEN = ServerAccess()
"""No TLS and no token: an embedded server, or one behind other protection."""


def is_on_this_machine(url: str) -> bool:
    """Whether `url` ("HOST:PORT") is reached through the loopback interface alone."""
    host = url.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def refuse_bare_token(url: str, access: ServerAccess) -> None:
    """Raise BadAccess where a token would cross a network for everybody to read."""
    if access.token is not None and not access.tls and not is_on_this_machine(url):
        raise BadAccess(f"The token for {url} could be read on the way: add --tls.")


def token_from(
    file: Path | None, environment: Mapping[str, str], variable: str = TOKEN_VARIABLE
) -> str | None:
    """The token in `file`, or without one that of the environment; None where neither is.

    Raises BadAccess for a file that cannot be read or is empty.
    """
    if file is None:
        return environment.get(variable) or None
    try:
        token = file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not plain text"
        raise BadAccess(f"The token file {file} cannot be read: {why}.") from error
    if not token:
        raise BadAccess(f"The token file {file} is empty.")
    return token


def tls_context(access: ServerAccess) -> ssl.SSLContext:
    """A context that trusts and shows what `access` says; BadAccess names the file that is none."""
    context = ssl.create_default_context()
    if access.ca is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            context.load_verify_locations(access.ca)
        except (OSError, ssl.SSLError) as error:
            raise BadAccess(
                f"{access.ca} holds no certificates to trust ({_reason(error)}): give a PEM file."
            ) from error
    context.set_alpn_protocols(["h2"])
    if access.certificate is not None:
        try:
            # An empty password fails for a locked key, where none at all would ask the terminal.
            context.load_cert_chain(access.certificate, access.key, password="")
        except (OSError, ssl.SSLError) as error:
            raise BadAccess(
                f"{access.certificate} and {access.key} are no certificate with its key "
                f"({_reason(error)}): give two PEM files that belong together, without a password."
            ) from error
    return context


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "not PEM").replace("_", " ").lower()
    return error.strerror or "unreadable"
