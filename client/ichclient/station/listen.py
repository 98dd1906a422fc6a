"""A station whose images come over the network: options -> a node that listens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ichclient.flags import LOOPBACK
from ichclient.station.peers import Peers
from ichclient.station.receive import Receiver, accepted_contexts, server_context
from ichclient.station.run import Running, TakesIn
from ichclient.station.scp import NodeOptions, listening


@dataclass(frozen=True)
class ListenOptions:
    """How a station listens; `address` None is this machine alone until peers are named.

    `tls` is certificate, key, and if senders must show one, the authority of their certificates.
    """

    ae_title: str
    port: int
    address: str | None = None
    peers: Peers = field(default_factory=Peers)
    max_associations: int = 8
    max_association_bytes: int = 16 << 30
    tls: tuple[Path, Path, Path | None] | None = None


def listening_station(options: ListenOptions) -> TakesIn:
    """What `run_station` has take images in. Raises BadAccess for files that are no certificate."""
    everywhere = "" if options.peers.allowed else LOOPBACK
    node = NodeOptions(
        ae_title=options.ae_title,
        port=options.port,
        address=everywhere if options.address is None else options.address,
        max_associations=options.max_associations,
        max_bytes=options.max_association_bytes,
        tls=server_context(*options.tls) if options.tls else None,
    )

    @contextmanager
    def takes_in(running: Running) -> Iterator[None]:
        receiver = Receiver(running.shelf, options.peers, running.events)
        with listening(node, accepted_contexts(), receiver) as port:
            running.events.say(
                "listening", ae_title=node.ae_title, address=node.address or "any", port=port,
                tls="yes" if node.tls else "no",
            )  # fmt: skip
            yield

    return takes_in
