"""The proxies whose word is taken for whom they pass requests on."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import NamedTuple

UNIX = "unix"
MAPPED_BITS = 96  # ::ffff:a.b.c.d is a.b.c.d, seen through a socket of IPv6
MAPPED = IPv6Network(f"::ffff:0:0/{MAPPED_BITS}")
WRONG = (
    "{} is no address and no network, written by its first address, like 10.0.0.0/8 or "
    "2001:db8::/32; write `unix` for whoever connects to a Unix socket"
)

IPNetwork = IPv4Network | IPv6Network


class TrustedProxies(NamedTuple):
    networks: tuple[IPNetwork, ...] = ()
    has_unix: bool = False


def parse_proxies(items: list[str]) -> TrustedProxies:
    """Raises ValueError for what is neither an address nor a network nor `unix`."""
    networks = tuple(_network(item) for item in items if item != UNIX)
    return TrustedProxies(networks, UNIX in items)


def _network(text: str) -> IPNetwork:
    try:
        network = ip_network(text)
    except ValueError:
        raise ValueError(WRONG.format(text)) from None
    if isinstance(network, IPv6Network) and network.subnet_of(MAPPED):
        first = int(network.network_address) & 0xFFFF_FFFF
        return IPv4Network((first, network.prefixlen - MAPPED_BITS))
    return network
