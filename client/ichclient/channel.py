"""`ServerAccess` -> what gRPC needs for a connection: options and credentials."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from ichclient.access import ServerAccess, is_on_this_machine, tls_context

if TYPE_CHECKING:
    from pathlib import Path

    import grpc

# Triton hangs up on clients that ping more than every 300 s (its
# --grpc-http2-min-recv-ping-interval-without-data), so pings keep to that. The second value is
# what counts: with pings on, Linux ends a connection whose bytes nobody acknowledged for so long
# (TCP_USER_TIMEOUT), where a call would else wait for its whole deadline on a server that is gone.
_KEEPALIVE_MS = 300_000
_UNACKNOWLEDGED_MS = 20_000


def channel_options(url: str, access: ServerAccess) -> list[tuple[str, int | str]]:
    """Options of the channel to `url`."""
    options: list[tuple[str, int | str]] = [
        ("grpc.max_send_message_length", -1),
        ("grpc.max_receive_message_length", -1),
        # A server that was started again is found within a second, not within two minutes.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1000),
        ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", _UNACKNOWLEDGED_MS),
    ]
    if is_on_this_machine(url):
        # A proxy set for the web must not be asked for a server on this machine.
        options.append(("grpc.enable_http_proxy", 0))
    if access.server_name is not None:
        options.append(("grpc.ssl_target_name_override", access.server_name))
    return options


def channel_credentials(access: ServerAccess) -> grpc.ChannelCredentials | None:
    """Credentials of a TLS channel, None in plain text; BadAccess names a file that is none."""
    if not access.tls:
        return None
    import grpc

    tls_context(access)  # gRPC takes any bytes, and would say nothing of what is wrong with them
    return grpc.ssl_channel_credentials(
        root_certificates=_bytes(access.ca) or _roots_of_the_system(),
        private_key=_bytes(access.key),
        certificate_chain=_bytes(access.certificate),
    )


def _bytes(path: Path | None) -> bytes | None:
    return None if path is None else path.read_bytes()


def _roots_of_the_system() -> bytes | None:
    """What this system trusts, a hospital's own authority included; None takes gRPC's list."""
    authorities = ssl.create_default_context().get_ca_certs(binary_form=True)
    return "".join(map(ssl.DER_cert_to_PEM_cert, authorities)).encode() or None
