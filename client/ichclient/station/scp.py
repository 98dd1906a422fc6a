"""A DICOM node that takes C-STORE and C-ECHO: associations from the network -> images on disk.

Beside `sources/node.py` the only place that knows pynetdicom, and the only one that takes its
reader of messages apart: there a data set is gathered in memory, here it goes to disk as it comes,
so that no sender can make the station need more memory than a few PDUs.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Protocol

from ichclient.errors import PortInUse
from ichclient.sources.node import application_entity

SUCCESS, OUT_OF_RESOURCES = 0x0000, 0xA700
CANNOT_UNDERSTAND, OTHER_BYTES = 0xC000, 0xC001
VERIFICATION = "1.2.840.10008.1.1"
_SILENT_S = 60.0
"""How long a sender may be silent, within an image or between two."""
_MAX_PDU_BYTES = 1 << 20
_NOT_RECOGNISED = (0x01, 0x01, 0x03)
_CONGESTED = (0x02, 0x03, 0x01)
_SPARE_CONNECTIONS = 8
"""Connections beyond the associations: so many may knock at once before one is turned away."""


class Arrival(Protocol):
    """Where the data set of one image goes."""

    def head(self, content: bytes) -> None:
        """Take preamble and file meta information."""

    def write(self, content: bytes) -> int:
        """Take a piece of the data set; never raises."""

    def discard(self) -> None:
        """Give up what is not taken yet."""


@dataclass(frozen=True)
class Caller:
    """Who opened an association: as it calls itself, and from where."""

    ae_title: str
    address: str


class Reception(Protocol):
    """What a node asks of the station; called from many threads."""

    def may_connect(self, address: str) -> bool:
        """Whether anybody at an IP address may send."""

    def admitted(self, caller: Caller) -> bool:
        """Whether a caller may send; False is told to it as such."""

    def full(self) -> str | None:
        """Why nothing can be taken now, if so."""

    def arriving(self) -> Arrival:
        """Where the next image goes."""

    def arrived(self, arrival: Any, caller: Caller, SOPInstanceUID: str) -> int:
        """A whole image has come; gives the DIMSE status. Never raises."""

    def broken(self, caller: Caller, images: int) -> None:
        """An association ended otherwise than by release, after so many images."""


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
    readers = _Readers(options, reception)

    class Server(ThreadedAssociationServer):  # type: ignore[misc]
        """One that looks at the address first, and waits for no TLS handshake."""

        daemon_threads = True

        def get_request(self) -> Any:
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
            association.abort()
        for association in server.active_associations:
            association.join(options.silent_s)
        readers.reap()


class _Readers:
    """The reader of every open association, made when it opens and emptied when it has ended."""

    def __init__(self, options: NodeOptions, reception: Reception) -> None:
        self._options = options
        self._reception = reception
        self._open: dict[Any, Any] = {}
        self._lock = threading.Lock()

    @property
    def count(self) -> int:
        return len(self._open)

    def opened(self, event: Any) -> None:
        """Put our reader of messages in the place of pynetdicom's, and bound what it reads."""
        association = event.assoc
        connection = association.dul.socket
        receive = connection.recv

        def bounded(count: int) -> Any:
            if count > _MAX_PDU_BYTES:
                raise OSError("a PDU of more than 1 MiB")
            return receive(count)

        connection.recv = bounded
        association.dimse = _reader(association, self._options.max_bytes, self._reception)
        with self._lock:
            self._open[association] = association.dimse

    def requested(self, event: Any) -> None:
        """Turn away who may not send, and everybody while there is no room."""
        association = event.assoc
        reader = association.dimse
        reader.caller = Caller(
            str(association.requestor.primitive.calling_ae_title).strip(),
            str(association.requestor.address),
        )
        reason = None
        if not self._reception.admitted(reader.caller):
            reason = _NOT_RECOGNISED
        elif self._reception.full() is not None:
            reason = _CONGESTED
        if reason is not None:
            association.acse.send_reject(*reason)
            association.is_rejected = True
            association.kill()

    def stored(self, event: Any) -> int:
        """Answer a C-STORE whose data set has come."""
        return int(event.assoc.dimse.answered(event.request))

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Empty the readers of associations that have ended, as long as the block lasts."""
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(0.2):
                self.reap()

        thread = threading.Thread(target=watch, name="ichclient-scp-watch")
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def reap(self) -> None:
        with self._lock:
            over = [association for association in self._open if not association.is_alive()]
            readers = [self._open.pop(association) for association in over]
        for association, reader in zip(over, readers, strict=True):
            reader.close()
            if reader.established and not association.is_released:
                self._reception.broken(reader.caller, reader.images)


def _reader(association: Any, max_bytes: int, reception: Reception) -> Any:
    """A reader of an association's messages that writes data sets to disk as they come."""
    from pynetdicom import dimse
    from pynetdicom.dimse_messages import C_STORE_RQ
    from pynetdicom.dsutils import create_file_meta, encode_file_meta
    from pynetdicom.pdu_primitives import P_DATA

    class Reader(dimse.DIMSEServiceProvider):  # type: ignore[misc]
        """Its messages hold a file where pynetdicom's would hold the bytes."""

        def __init__(self) -> None:
            super().__init__(association)
            self.caller = Caller("", "")
            self.images = 0
            self.established = False
            self._bytes = 0
            self._arrivals: set[Arrival] = set()

        def receive_primitive(self, primitive: Any) -> None:
            """Take what came fragment by fragment: a data set's file is made before its first."""
            self.established = True
            try:
                for fragment in primitive.presentation_data_value_list:
                    one = P_DATA()
                    one.presentation_data_value_list = [fragment]
                    self._bytes += len(fragment[1])
                    super().receive_primitive(one)
                    message = self.message
                    if isinstance(message, C_STORE_RQ) and message._data_set_file is None:
                        message._data_set_file = self._begun(message)
            except Exception:  # a malformed message may raise anything, and ends the association
                self.dul.event_queue.put("Evt19")
                return
            if self._bytes > 2 * max_bytes:  # it was told twice over that nothing is kept
                self.dul.event_queue.put("Evt19")

        def _begun(self, message: Any) -> Any:
            command = message.command_set
            meta = create_file_meta(
                sop_class_uid=command.AffectedSOPClassUID,
                sop_instance_uid=command.AffectedSOPInstanceUID,
                transfer_syntax=association._accepted_cx[message.context_id].transfer_syntax[0],
            )
            arrival = reception.arriving()
            arrival.head(b"\0" * 128 + b"DICM" + encode_file_meta(meta))
            self._arrivals.add(arrival)
            return _AsFile(arrival)

        def answered(self, request: Any) -> int:
            file = request._dataset_file
            if file is None:  # a request without a data set
                return CANNOT_UNDERSTAND
            try:
                if self._bytes > max_bytes:
                    return OUT_OF_RESOURCES
                uid = str(request.AffectedSOPInstanceUID)
                status = reception.arrived(file.arrival, self.caller, uid)
                self.images += status == SUCCESS
                return status
            finally:
                self._arrivals.discard(file.arrival)
                file.arrival.discard()

        def close(self) -> None:
            """Give up what was not answered."""
            while self._arrivals:
                self._arrivals.pop().discard()

    return Reader()


class _AsFile:
    """An arrival, as far as pynetdicom uses the temporary file that it would have made."""

    def __init__(self, arrival: Arrival) -> None:
        self.arrival = arrival
        self.name = ""
        self.file = BytesIO()  # its flush() is called after every write
        self.write = arrival.write

    def close(self) -> None:
        """Nothing: whoever took the arrival has closed it."""
