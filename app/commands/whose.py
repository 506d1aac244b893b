"""`litestar whose`: a digest in the log leads back to an account or an address, with its key."""

from __future__ import annotations

import re
import sys
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import aclosing, closing
from ipaddress import IPv6Network, ip_network

import click

from app.accounts.digests import Digester
from app.accounts.operators import Operators
from app.accounts.passwords import Passwords
from app.commands.running import lent, run
from app.config.settings import load_settings, stop

DIGEST = re.compile(r"[0-9a-f]{8,64}")
MOST_ADDRESSES = 1 << 20
COUNTED_BITS = 64  # of an address of IPv6; see app/http/addresses.py


@click.command()
@click.argument("digest")
@click.argument("addresses", nargs=-1)
def whose(digest: str, addresses: tuple[str, ...]) -> None:
    """Tell whose account, or which address, a DIGEST in the log stands for.

    Accounts are those of all users there are. ADDRESSES to try are addresses or networks; with `-`
    they are read from standard input, one a line, such as those of a proxy's log.
    """
    if not DIGEST.fullmatch(digest.lower()):
        raise stop(f"{digest} is no digest: those of `login_refused` have 16 hexadecimal digits.")
    given = _given(addresses)
    found = run(_find(digest.lower(), given))
    for line in found:
        click.echo(line)
    if not found:
        raise stop("no user there is has this digest, and none of the addresses given.")


def _given(addresses: Iterable[str]) -> list[str]:
    """Raises SystemExit for what is neither an address nor a network."""
    found = list[str]()
    for text in addresses:
        found += [line.strip() for line in sys.stdin if line.strip()] if text == "-" else [text]
    most = sum(_count(text) for text in found)
    if most > MOST_ADDRESSES:
        raise stop(f"these are {most:,} addresses; name {MOST_ADDRESSES:,} at most.")
    return found


def _count(text: str) -> int:
    network = _network(text)
    return 1 << max(0, _bits(network) - network.prefixlen)


def _network(text: str) -> IPv6Network:
    """Read an address or a network; one of IPv4 is taken for its place in IPv6."""
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise stop(f"{text} is no address and no network.") from None
    if isinstance(network, IPv6Network):
        return network
    return IPv6Network(f"::ffff:{network.network_address}/{network.prefixlen + 96}")


def _bits(network: IPv6Network) -> int:
    return 128 if network.network_address.ipv4_mapped else COUNTED_BITS


def _each(text: str) -> Iterator[str]:
    network = _network(text)
    step = 1 << (128 - _bits(network))
    first = network.network_address
    for number in range(_count(text)):
        address = first + number * step
        mapped = address.ipv4_mapped
        yield str(mapped) if mapped else f"{address}/{COUNTED_BITS}"


async def _find(digest: str, addresses: list[str]) -> list[str]:
    async with aclosing(_candidates(addresses)) as candidates:
        return [line async for line, whole in candidates if whole.hex().startswith(digest)]


async def _candidates(addresses: list[str]) -> AsyncGenerator[tuple[str, bytes]]:
    settings = load_settings()
    async with lent(settings) as databases:
        digester = Digester(databases.user, settings)
        with closing(Passwords(settings)) as passwords:
            for user in await Operators(databases, passwords).users(None):
                yield f"account {user.username}", await digester.of_account(user.username)
        for text in addresses:
            for address in _each(text):
                plain = address.partition("/")[0]
                yield f"address {address}", await digester.of_address(plain)
