"""Who may send: AE titles, and the addresses that they may come from."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ichclient.sources.address import is_ae_title

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class Peer:
    """A calling AE title, and the network that it must come from; None stands for any."""

    ae_title: str
    network: Network | None = None


@dataclass(frozen=True)
class Peers:
    """Those who may send; without any, every AE title of this machine itself may."""

    allowed: tuple[Peer, ...] = ()

    def admit(self, ae_title: str, address: str) -> bool:
        """Whether a peer may send: its AE title as it calls itself, its IP address."""
        ip = _ip(address)
        if not self.allowed:
            return ip.is_loopback
        return any(
            peer.ae_title == ae_title and (peer.network is None or ip in peer.network)
            for peer in self.allowed
        )

    def may_connect(self, address: str) -> bool:
        """Whether anybody at that IP address may send."""
        ip = _ip(address)
        if not self.allowed:
            return ip.is_loopback
        return any(peer.network is None or ip in peer.network for peer in self.allowed)


def peers_from_texts(texts: Sequence[str]) -> Peers:
    """`AET` or `AET@IP` or `AET@NETWORK/BITS` each; raises ValueError for anything else."""
    peers = []
    for text in texts:
        ae_title, at, network = text.partition("@")
        if not is_ae_title(ae_title):
            raise ValueError(f"'{text}' names no peer: give AET or AET@IP, as CT1@10.0.0.5")
        try:
            peers.append(Peer(ae_title, ipaddress.ip_network(network) if at else None))
        except ValueError as error:
            raise ValueError(f"'{network}' is no IP address and no network: {error}") from None
    return Peers(tuple(peers))


def _ip(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    ip = ipaddress.ip_address(address.partition("%")[0])
    mapped = getattr(ip, "ipv4_mapped", None)
    return mapped or ip
