"""All people's rows are sealed, and unsealed, while the service runs; what was killed goes on."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import uuid4

import asyncpg
import pytest

from app.bridge.sealing.conversion import Conversion
from app.config.settings import Settings
from tests.support.commands import litestar, urls
from tests.support.factories import Someone, World
from tests.support.logins import superuser
from tests.support.sealed import there, with_a_key
from tests.support.sealing import keyless, keys_on, master_keys
from tests.support.servers import Servers

SESSIONS = "/v1/chat-sessions"
SEALED = "SELECT count(*) FILTER (WHERE sealed IS NOT NULL), count(*) FROM messages"
PLAIN_UNTIL = "SELECT user_id, plain_until = 'infinity' FROM wrapped_keys"
AT_ONCE = timedelta()


async def talk(someone: Someone, text: str) -> None:
    made = await someone.http.post(SESSIONS, json={"title": text})
    assert made.status_code == 201, made.text
    path = f"{SESSIONS}/{made.json()['id']}/messages"
    for _ in range(3):
        said = await someone.http.post(path, json={"role": "user", "content": text})
        assert said.status_code == 201, said.text


async def counts(sql: asyncpg.Connection) -> tuple[int, int]:
    row = await sql.fetchrow(SEALED)
    assert row is not None
    return row[0], row[1]


async def lines_of(someone: Someone) -> list[str]:
    """Export what they have said."""
    lines = (await someone.http.get("/v1/me/export")).text.splitlines()
    return [line for line in lines if '"chat_session"' in line or '"message"' in line]


class KilledError(Exception):
    pass


def kill() -> None:
    raise KilledError


def nothing() -> None:
    pass


async def test_everybody_is_sealed_and_unsealed_while_they_write(
    world: World, settings: Settings, servers: Servers, database: str
) -> None:
    people = [await world.member() for _ in range(3)]
    for someone in people:
        await talk(someone, "before")
    async with (
        with_a_key(servers, database) as sealed,
        superuser(servers.general.url(database)) as general,
    ):
        keys = keys_on(sealed.databases, settings, "a")
        conversion = Conversion(keys, sealed.databases, print, settling=AT_ONCE)
        theirs = [there(sealed, someone) for someone in people]
        born_sealed = there(sealed, await world.member())
        with pytest.raises(KilledError):
            await conversion.seal(kill)
        saying = (talk(one, "meanwhile") for one in (*theirs, born_sealed))
        await asyncio.gather(conversion.seal(nothing), *saying)
        assert await counts(general) == (3 * 3 + 4 * 3, 3 * 3 + 4 * 3)
        async with superuser(servers.user.url(database)) as user:
            found = {row[0]: row[1] for row in await user.fetch(PLAIN_UNTIL)}
        assert found == dict.fromkeys((one.id for one in people), False) | {born_sealed.id: None}
        env = urls(servers, database) | {"SEAL_KEYS": master_keys("a")}
        shown = (await litestar("keys", "status", env=env)).out.splitlines()
        assert shown[2:] == [
            "people sealed from their first word on: 1",
            "people converted: 3",
            "people with plain rows: 0",
        ]
        exports = [await lines_of(one) for one in theirs]
        assert all("before" in str(lines) and "meanwhile" in str(lines) for lines in exports)
        assert await conversion.unseal(nothing) == []
        assert await counts(general) == (0, 3 * 3 + 4 * 3)
        assert [await lines_of(one) for one in people] == exports
    # No master key is in use any more, so a process without one starts, and writes plain rows.
    await keys_on(world.databases, settings).check()
    await talk(people[0], "after")


async def test_who_has_no_master_key_converts_nothing(
    world: World, servers: Servers, database: str
) -> None:
    env = keyless(urls(servers, database))
    without = await litestar("keys", "seal", env=env)
    assert (without.code, without.line[:22]) == (1, "bicameral: SEAL_KEYS: ")
    bob = await world.member()
    async with with_a_key(servers, database):
        pass  # it began to seal when it started, since nobody had spoken
    refused = await bob.http.post(SESSIONS, json={"title": str(uuid4())})
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    async with superuser(servers.general.url(database)) as general:
        assert await general.fetchval("SELECT count(*) FROM chat_sessions") == 0
    unsealed = await litestar("keys", "unseal", env=env)
    assert (unsealed.code, unsealed.line[:10]) == (1, "bicameral:")
