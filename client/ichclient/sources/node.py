"""One DICOM node, as far as the network goes: associations, TLS, and a storage service of our own.

The only place that knows pynetdicom.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ichclient.errors import MissingExtra, NotOffered, PortInUse, SourceError, SourceUnreachable
from ichclient.sources.address import NodeAddress
from ichclient.sources.options import SourceOptions
from ichclient.sources.storage import PACKED, PLAIN, SERVICES, Context
from ichclient.sources.tls import tls_context

_PDU_BYTES = 1 << 17

Store = Callable[[Any], int]
"""Takes in the instance of an event, and answers with a DIMSE status."""


class DimseNode:
    """The node at an address, which errors call `name`; its failures in one sentence each."""

    def __init__(self, address: NodeAddress, options: SourceOptions, name: str) -> None:
        self.name = name
        self._address = address
        self._options = options
        self._application = application_entity(options.ae_title, options.timeout_s)

    @contextmanager
    def association(
        self,
        contexts: Sequence[Context],
        roles: Sequence[str] = (),
        store: Store | None = None,
    ) -> Iterator[Any]:
        """An association with the node; aborted where anything goes wrong within it."""
        from pynetdicom import build_context, build_role, evt

        connected: list[bool] = []
        handlers: list[Any] = [(evt.EVT_CONN_OPEN, lambda _: connected.append(True))]
        if store is not None:
            handlers.append((evt.EVT_C_STORE, store))
        association = self._application.associate(
            self._address.host,
            self._address.port,
            [build_context(uid, list(syntaxes)) for uid, syntaxes in contexts],
            ae_title=self._address.called_ae_title,
            ext_neg=[build_role(uid, scp_role=True) for uid in roles],
            evt_handlers=handlers,
            tls_args=self._tls(),
        )
        if not association.is_established:
            raise self._not_established(association, bool(connected))
        try:
            yield association
        except BaseException:
            association.abort()
            raise
        association.release()

    @contextmanager
    def storage_service(self, port: int, classes: Sequence[str], store: Store) -> Iterator[None]:
        """Listen on a port for instances of some storage classes; raises PortInUse."""
        from pynetdicom import evt

        for uid in classes:
            self._application.add_supported_context(uid, [*PLAIN, *PACKED])
        self._application.require_called_aet = True
        try:
            server = self._application.start_server(
                ("", port), block=False, evt_handlers=[(evt.EVT_C_STORE, store)]
            )
        except OSError as error:
            raise PortInUse(
                f"Port {port} cannot be listened on ({error.strerror}). Name another with "
                "--move-port, and have the PACS know it."
            ) from error
        try:
            yield
        finally:
            server.shutdown()

    def _not_established(self, association: Any, connected: bool) -> SourceError:
        if association.is_rejected:
            reason = association.acceptor.primitive.reason_str
            return SourceError(
                f"{self.name} rejects {self._options.ae_title} ({reason.strip('. ')}). Check both "
                "AE titles, and that the PACS knows this client. [rejected]"
            )
        if association.rejected_contexts:
            return not_offered(self.name, str(association.rejected_contexts[0].abstract_syntax))
        if connected:
            return SourceUnreachable(
                f"{self.name} took the connection and no association. Check that the port is that "
                "of a DICOM node, and whether it wants TLS (dimse-tls:)."
            )
        trust = ", or its certificate is not trusted (--ca)" if self._address.tls else ""
        return SourceUnreachable(f"No answer from {self.name}{trust}. Check host and port.")

    def _tls(self) -> tuple[ssl.SSLContext, str] | None:
        if not self._address.tls:
            return None
        return tls_context(self._options), self._address.host


def not_offered(name: str, service: str) -> NotOffered:
    """The error for a service that a node does not have."""
    return NotOffered(
        f"{name} does not offer {SERVICES.get(service, service)} by study. [not_offered]"
    )


def application_entity(ae_title: str, timeout_s: float) -> Any:
    """A DICOM application, which logs nothing that was asked or answered; raises MissingExtra."""
    try:
        from pynetdicom import AE, _config
    except ImportError as error:
        raise MissingExtra("DIMSE needs pynetdicom: pip install 'ich-triton[dimse]'") from error
    _config.LOG_REQUEST_IDENTIFIERS = False
    _config.LOG_RESPONSE_IDENTIFIERS = False
    application = AE(ae_title)
    application.maximum_pdu_size = _PDU_BYTES
    application.connection_timeout = timeout_s
    application.acse_timeout = timeout_s
    application.dimse_timeout = timeout_s
    application.network_timeout = timeout_s
    return application
