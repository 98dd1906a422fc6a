"""Images from the network -> the shelf, and what their senders are told.

Their DIMSE status says what to do:

    taken, or there already    0x0000
    no room now                0xA700   the sender tries again later
    no CT image, no UIDs       0xC000
    the UID with other bytes   0xC001   the first ones stay

An association that nobody may open is rejected, and an address from which nobody may is closed.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path

from ichclient.codecs import SYNTAXES, is_decoded
from ichclient.errors import BadAccess, RefusedInput
from ichclient.headers import CT_IMAGE_CLASSES
from ichclient.sources.storage import PACKED, PLAIN, Context
from ichclient.station.arriving import Arriving
from ichclient.station.events import Events
from ichclient.station.peers import Peers
from ichclient.station.readers import (
    CANNOT_UNDERSTAND,
    OTHER_BYTES,
    OUT_OF_RESOURCES,
    SUCCESS,
    Answer,
    Caller,
)
from ichclient.station.shelf import NoRoom, Shelf
from ichclient.station.state import Taken

_CODES = {Taken.NEW: "images", Taken.SAME: "there_already", Taken.OTHER: "other_bytes"}


class Receiver:
    """What a DICOM node asks of a station; called from many threads."""

    def __init__(self, shelf: Shelf, peers: Peers, events: Events) -> None:
        self._shelf = shelf
        self._peers = peers
        self._events = events
        self._full_told = False
        self._turned_away: set[str] = set()

    def may_connect(self, address: str) -> bool:
        """Whether anybody at an IP address may send; who may not is told."""
        allowed = self._peers.may_connect(address)
        if not allowed and address not in self._turned_away:  # once each, or knocking fills the log
            self._turned_away.add(address)
            self._events.told("association", peer="", address=address, outcome="refused")
        return allowed

    def admitted(self, caller: Caller) -> bool:
        """Whether a caller may send; nobody may whom the audit log cannot note."""
        allowed = self._peers.admit(caller.ae_title, caller.address)
        outcome = "accepted" if allowed else "refused"
        noted = self._events.told(
            "association", peer=caller.ae_title, address=caller.address, outcome=outcome
        )
        return allowed and noted

    def arriving(self) -> Arriving:
        """Where the next image goes."""
        return self._shelf.arriving()

    def arrived(self, arrival: Arriving, caller: Caller, SOPInstanceUID: str) -> Answer:
        """Keep a whole image, or say why not."""
        try:
            kept = self._shelf.take(arrival, caller.ae_title, SOPInstanceUID)
        except NoRoom as error:
            if not self._full_told:
                self._full_told = True
                self._events.told("no_room", reason=str(error))
            return Answer(OUT_OF_RESOURCES, "no_room")
        except RefusedInput as error:
            return Answer(CANNOT_UNDERSTAND, error.code)
        except Exception as error:  # a bug: the image is not kept, and its sender keeps it
            self._events.say("internal", error=type(error).__name__)
            return Answer(OUT_OF_RESOURCES, "internal")
        self._full_told = False
        if kept.first:
            self._events.say("receiving", key=kept.key, peer=caller.ae_title)
        if kept.taken is Taken.OTHER:
            self._events.told("other_bytes", key=kept.key, peer=caller.ae_title)
            return Answer(OTHER_BYTES, _CODES[kept.taken])
        return Answer(SUCCESS, _CODES[kept.taken])

    def ended(self, caller: Caller, came: Mapping[str, int], *, released: bool) -> None:
        """Note what an association brought."""
        if came or not released:
            how = "released" if released else "broken_off"
            self._events.told("association_ended", peer=caller.ae_title, outcome=how, **came)


def accepted_contexts() -> list[Context]:
    """The CT storage classes, each with every transfer syntax that is decoded here."""
    known = {syntax.uid for syntax in SYNTAXES}
    syntaxes = [uid for uid in (*PLAIN, *PACKED) if uid in known and is_decoded(uid)]
    return [(uid, syntaxes) for uid in CT_IMAGE_CLASSES]


def server_context(certificate: Path, key: Path, client_ca: Path | None) -> ssl.SSLContext:
    """TLS for a node; with `client_ca` senders have to show a certificate. Raises BadAccess."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # An empty password fails for a locked key, where none at all would ask the terminal.
        context.load_cert_chain(certificate, key, password="")
    except OSError as error:
        raise BadAccess(
            f"{certificate} and {key} are no certificate with its key: give two PEM files that "
            "belong together, without a password."
        ) from error
    if client_ca is not None:
        try:
            context.load_verify_locations(client_ca)
        except OSError as error:
            raise BadAccess(f"{client_ca} holds no certificates to trust: a PEM file.") from error
        context.verify_mode = ssl.CERT_REQUIRED
    return context
