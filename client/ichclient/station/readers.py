"""Associations of a DICOM node -> a reader each, which writes data sets to disk as they come.

pynetdicom's own reader of messages gathers a data set in memory, or in a temporary file that it
leaves behind when a sender stops half way. Here no sender can make the station need more memory
than a few PDUs, and what was not answered is removed.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Protocol, cast

SUCCESS, OUT_OF_RESOURCES = 0x0000, 0xA700
CANNOT_UNDERSTAND, OTHER_BYTES = 0xC000, 0xC001
_MAX_PDU_BYTES = 1 << 20
_NOT_RECOGNISED = (0x01, 0x01, 0x03)


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


@dataclass(frozen=True)
class Answer:
    """What a sender is told of an image: a DIMSE status; `code` is for log and audit."""

    status: int
    code: str


class Reception(Protocol):
    """What a node asks of the station; called from many threads."""

    def may_connect(self, address: str) -> bool:
        """Whether anybody at an IP address may send."""

    def admitted(self, caller: Caller) -> bool:
        """Whether a caller may send; False is told to it as such."""

    def arriving(self) -> Arrival:
        """Where the next image goes."""

    def arrived(self, arrival: Any, caller: Caller, SOPInstanceUID: str) -> Answer:
        """A whole image has come. Never raises."""

    def ended(self, caller: Caller, came: Mapping[str, int], *, released: bool) -> None:
        """An association is over; how many images came, by what became of them. Never raises."""


class Readers:
    """The reader of every open association, made when it opens and emptied when it has ended."""

    def __init__(self, max_bytes: int, reception: Reception) -> None:
        self._max_bytes = max_bytes
        self._reception = reception
        self._open: dict[Any, Any] = {}
        self._lock = threading.Lock()

    @property
    def count(self) -> int:
        """How many connections are open."""
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
        association.dimse = _reader(association, self._max_bytes, self._reception)
        with self._lock:
            self._open[association] = connection.socket

    def requested(self, event: Any) -> None:
        """Turn away who may not send."""
        association = event.assoc
        reader = association.dimse
        reader.caller = Caller(
            str(association.requestor.primitive.calling_ae_title).strip(),
            str(association.requestor.address),
        )
        if not self._reception.admitted(reader.caller):
            association.acse.send_reject(*_NOT_RECOGNISED)
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
        """Empty the readers of associations that have ended."""
        with self._lock:
            for association in self._open:
                if association.dul.socket is None or association.dul.socket.socket is None:
                    release(association)
            # One that has just been opened has no thread yet, and is not over.
            over = [one for one in self._open if one.ident is not None and not one.is_alive()]
            sockets = [self._open.pop(association) for association in over]
        for association, connected in zip(over, sockets, strict=True):
            connected.close()  # pynetdicom does not, where the peer was quicker
            reader = association.dimse
            reader.close()
            if reader.caller.ae_title and not association.is_rejected:
                self._reception.ended(
                    reader.caller, reader.came, released=bool(association.is_released)
                )


def release(association: Any) -> None:
    """Let go an association that still waits for its first message, which will not come."""
    if association.requestor.primitive is None:
        association.dul.to_user_queue.put(None)


def _reader(association: Any, max_bytes: int, reception: Reception) -> Any:
    """A reader of an association's messages that writes data sets to disk as they come."""
    from pynetdicom import dimse
    from pynetdicom.dimse_messages import C_STORE_RQ
    from pynetdicom.dsutils import create_file_meta, encode_file_meta
    from pynetdicom.pdu_primitives import P_DATA

    class Reader(dimse.DIMSEServiceProvider):
        """Its messages hold a file where pynetdicom's would hold the bytes."""

        def __init__(self) -> None:
            super().__init__(association)
            self.caller = Caller("", "")
            self.came: Counter[str] = Counter()
            self._bytes = 0
            self._arrivals: set[Arrival] = set()

        def receive_primitive(self, primitive: Any) -> None:
            """Take what came fragment by fragment: a data set's file is made before its first."""
            try:
                for fragment in primitive.presentation_data_value_list:
                    one = P_DATA()
                    # A list, whatever pynetdicom declares: it refuses a tuple.
                    one.presentation_data_value_list = [cast(Any, list(fragment))]
                    self._bytes += len(fragment[1])
                    super().receive_primitive(one)
                    message = self.message
                    if isinstance(message, C_STORE_RQ) and message._data_set_file is None:
                        message._data_set_file = self._begun(message)
            except Exception:  # a malformed message may raise anything, and ends the association
                self.came["malformed"] += 1
                self.dul.event_queue.put("Evt19")
                return
            if self.message is not None and self._bytes > 2 * max_bytes:
                self.dul.event_queue.put("Evt19")  # an image without an end

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
                    self.came["too_much"] += 1
                    if self._bytes > 2 * max_bytes:  # it was told long enough, and goes on
                        association.abort()
                    return OUT_OF_RESOURCES
                uid = str(request.AffectedSOPInstanceUID)
                answer = reception.arrived(file.arrival, self.caller, uid)
                self.came[answer.code] += 1
                return answer.status
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
