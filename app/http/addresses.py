"""Clients' addresses, and which of them count as one."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

IPAddress = IPv4Address | IPv6Address


def parsed(text: str) -> IPAddress | None:
    """Reads an address, without an IPv6 zone; one of IPv4 that is mapped into IPv6 is of IPv4."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


@lru_cache(4096)
def network(text: str) -> str:
    """Names the network that an address counts as: of IPv6 a /64, which is one customer's."""
    address = parsed(text)
    if address is None:
        return text
    return str(ip_network((address, 64 if address.version == 6 else 32), strict=False))
