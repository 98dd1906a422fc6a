"""An address that gave no answer -> why TLS failed there, in one sentence, where that is the cause.

gRPC says "Socket closed" of a missing client certificate as of a server that just ended, and its
other words change between versions. One handshake with Python's own TLS tells them apart.
"""

from __future__ import annotations

import contextlib
import socket
import ssl

from ichclient.access import ServerAccess, tls_context

_WITHIN_S = 2.0
# Start of HTTP/2 with empty settings: a server that lets us in answers with its own.
_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))

# X509_V_ERR_* of OpenSSL
_NOT_YET, _EXPIRED, _OTHER_NAME, _OTHER_ADDRESS = 9, 10, 62, 64


def tls_failure(url: str, access: ServerAccess) -> str | None:
    """Shake hands once with the server at `url`; None where TLS is not what stands in the way."""
    return _secured_failure(url, access) if access.tls else _plain_failure(url)


def _plain_failure(url: str) -> str | None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    try:
        with _connected(url, context, None):
            pass
    except OSError:
        return None
    return f"The server at {url} speaks TLS and was asked in plain text: add --tls."


def _secured_failure(url: str, access: ServerAccess) -> str | None:
    context = tls_context(access)
    name = access.server_name or _host(url)
    try:
        with _connected(url, context, name) as connection:
            connection.sendall(_HELLO)
            let_in = bool(connection.recv(1))
    except ssl.SSLCertVerificationError as error:
        return _unverified(url, name, access, error)
    except ssl.SSLError as error:
        if error.reason == "WRONG_VERSION_NUMBER":
            return f"The server at {url} answers in plain text, not in TLS: leave --tls out."
        if "ALERT" in (error.reason or ""):
            return _not_let_in(url, access)
        return None
    except (ConnectionResetError, BrokenPipeError):
        # Refused connections are another error: here somebody listened and hung up.
        return _not_let_in(url, access)
    except OSError:
        return None
    return None if let_in else _not_let_in(url, access)


def _unverified(
    url: str, name: str, access: ServerAccess, error: ssl.SSLCertVerificationError
) -> str:
    what = f"The certificate of the server at {url}"
    if error.verify_code in (_OTHER_NAME, _OTHER_ADDRESS):
        return f"{what} is not for '{name}': use the name in it as address or as --server-name."
    if error.verify_code in (_EXPIRED, _NOT_YET):
        when = "has expired" if error.verify_code == _EXPIRED else "is not valid yet"
        return f"{what} {when}: have it renewed, and see that this machine's clock is right."
    trusted = f"in {access.ca}" if access.ca else "that this system trusts"
    return (
        f"{what} is of no authority {trusted} ({error.verify_message}): give the server's own "
        "with --server-ca."
    )


def _not_let_in(url: str, access: ServerAccess) -> str:
    if access.certificate is None:
        return (
            f"The server at {url} hung up after the handshake: it asks for a client certificate, "
            "so give --server-cert and --server-key."
        )
    return (
        f"The server at {url} does not accept the client certificate {access.certificate}: it "
        "may have expired, or be of an authority that the server does not know."
    )


def _connected(
    url: str, context: ssl.SSLContext, name: str | None
) -> contextlib.AbstractContextManager[ssl.SSLSocket]:
    port = int(url.rpartition(":")[2])
    raw = socket.create_connection((_host(url), port), timeout=_WITHIN_S)
    try:
        return context.wrap_socket(raw, server_hostname=name)
    except BaseException:
        raw.close()
        raise


def _host(url: str) -> str:
    return url.rpartition(":")[0].strip("[]")
