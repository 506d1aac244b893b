"""Connects to the first of a URL's hosts that takes us, each within a time of its own.

asyncpg knows lists of hosts, but one time for all of them: a first host that says nothing would use
it up. The host that took us last is asked first, so that its silence costs one connection only.
"""

from __future__ import annotations

import random
from typing import Any

import asyncpg

from app.config.database_url import DatabaseUrl, Host

# What libpq goes on to the next host for; a refused password, say, it does not.
TRY_NEXT = (
    OSError,
    TimeoutError,
    asyncpg.CannotConnectNowError,
    asyncpg.PostgresConnectionError,
    asyncpg.TargetServerAttributeNotMatched,
)
Attempt = tuple[Host, str | None]
_took_us: dict[tuple[Host, ...], Host] = {}


async def connect(url: DatabaseUrl, seconds: float, **arguments: Any) -> Any:
    """Open a connection, an `asyncpg.Connection` unless `connection_class` says otherwise."""
    *first, last = _attempts(url)
    for attempt in first:
        try:
            return await _connect(url, attempt, seconds, arguments)
        except TRY_NEXT:
            continue
    return await _connect(url, last, seconds, arguments)


async def _connect(
    url: DatabaseUrl, attempt: Attempt, seconds: float, arguments: dict[str, Any]
) -> Any:
    host, attributes = attempt
    own: dict[str, Any] = {
        "ssl": url.ssl_context(),
        "timeout": url.connect_timeout_seconds or seconds,
        "target_session_attrs": attributes,
    }
    connection: Any = await asyncpg.connect(url.dsn_of(host), **own, **arguments)
    _took_us[url.hosts] = host
    return connection


def _attempts(url: DatabaseUrl) -> list[Attempt]:
    hosts = [*url.hosts]
    if url.in_random_order:
        random.shuffle(hosts)
    elif url.hosts in _took_us:
        hosts.sort(key=lambda host: host != _took_us[url.hosts])
    if url.prefers_standby and len(hosts) > 1:
        return [(host, attributes) for attributes in ("standby", "any") for host in hosts]
    return [(host, None) for host in hosts]
