"""A token's look-up, on each request."""

from __future__ import annotations

import asyncio
import time

from app.accounts.tokens import CredentialLookup
from app.http.security import Credential
from tests.support.factories import World
from tests.support.locks import until_waiting
from tests.support.logins import superuser
from tests.support.servers import Servers

LONG_UNUSED = "UPDATE access_tokens SET last_used_at = now() - interval '10 minutes'"


async def test_a_look_up_counts_from_when_it_was_sent(
    world: World, servers: Servers, database: str
) -> None:
    """Its answer may come late: here it waits for the row whose `last_used_at` it notes."""
    alice = await world.someone("\\acme\\alice")
    token = alice.http.headers["authorization"].removeprefix("Bearer ")
    async with superuser(servers.user.url(database)) as sql:
        await sql.execute(LONG_UNUSED)
        async with sql.transaction():
            await sql.execute("SELECT FROM access_tokens FOR UPDATE")
            lookup = CredentialLookup(world.databases.user, world.app.state.settings)
            before = time.monotonic()
            looking = asyncio.create_task(lookup.principal(Credential(token)))
            await until_waiting(sql)
            released = time.monotonic()
    principal = await looking
    assert before <= principal.looked_up_at < released
    assert (principal.user_id, principal.username) == (alice.id, "\\acme\\alice")
