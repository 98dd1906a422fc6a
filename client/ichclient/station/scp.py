"""A DICOM node that takes C-STORE and C-ECHO: associations from the network -> images on disk.

Who may connect is told by the address before anything is read, and who may send by its name.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ichclient.errors import PortInUse
from ichclient.sources.node import application_entity
from ichclient.station.readers import Readers, Reception, release

VERIFICATION = "1.2.840.10008.1.1"
_SILENT_S = 60.0
"""How long a sender may be silent, within an image or between two."""
_SPARE_CONNECTIONS = 8
"""Connections beyond the associations: so many may knock at once before one is turned away."""


@dataclass(frozen=True)
class NodeOptions:
    """How a node listens: `address` "" is every one; `max_bytes` of one association."""

    ae_title: str
    port: int
    address: str
    max_associations: int = 8
    max_bytes: int = 16 << 30
    silent_s: float = _SILENT_S
    tls: ssl.SSLContext | None = None


@contextmanager
def listening(
    options: NodeOptions, contexts: Sequence[tuple[str, Sequence[str]]], reception: Reception
) -> Iterator[int]:
    """Take associations within the block; yields the port. Raises PortInUse, MissingExtra.

    `contexts` are storage classes with the transfer syntaxes that are taken of each, the preferred
    first. In the end nobody is let in any more, and associations that are open are aborted: their
    senders keep what was not answered.
    """
    from pynetdicom import _config, evt
    from pynetdicom.transport import ThreadedAssociationServer

    application = application_entity(options.ae_title, options.silent_s)
    _config.LOG_HANDLER_LEVEL = "none"  # it would format every command set for nobody
    application.require_called_aet = True
    application.maximum_associations = options.max_associations
    application.add_supported_context(VERIFICATION)
    for uid, syntaxes in contexts:
        application.add_supported_context(uid, list(syntaxes))
    readers = Readers(options.max_bytes, reception)

    class Server(ThreadedAssociationServer):
        """One that looks at the address first, and waits for no TLS handshake."""

        daemon_threads = True

        def get_request(self) -> Any:
            assert self.socket is not None  # from its first to its last moment of service
            client, address = self.socket.accept()
            client.settimeout(options.silent_s)
            if options.tls is not None:
                # The first read shakes hands, in the association's own thread.
                client = options.tls.wrap_socket(
                    client, server_side=True, do_handshake_on_connect=False
                )
            return client, address

        def verify_request(self, _: Any, client_address: Any) -> bool:
            most = options.max_associations + _SPARE_CONNECTIONS
            return readers.count < most and reception.may_connect(client_address[0])

        def handle_error(self, *_: Any) -> None:
            """Say nothing: the connection is gone."""

    try:
        server = application.make_server(
            (options.address, options.port), server_class=Server,
            evt_handlers=[
                (evt.EVT_CONN_OPEN, readers.opened),
                (evt.EVT_REQUESTED, readers.requested),
                (evt.EVT_C_STORE, readers.stored),
            ],
        )  # fmt: skip
    except OSError as error:
        raise PortInUse(
            f"Port {options.port} cannot be listened on ({error.strerror}): name another with "
            "--port."
        ) from error
    application._servers.append(server)
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), name="ichclient-scp")
    thread.start()
    try:
        with readers.watched():
            yield int(server.server_address[1])
    finally:
        server.shutdown()
        thread.join()
        for association in server.active_associations:
            release(association)
            association.abort()
        for association in server.active_associations:
            association.join(options.silent_s)
        readers.reap()
