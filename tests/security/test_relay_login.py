"""The relay's login erases whom it is told to, and neither reads what was said nor makes proofs up.

Each thing that is refused stands beside its control: what the relay does instead, and may.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, NamedTuple
from uuid import uuid4

import asyncpg
import pytest

from app.bridge.erasure.relay import Relay as Erasing
from app.bridge.erasure.relay import relay_settings
from app.commands.migrate import upgrade
from app.databases.connection import DATABASES, DatabaseName
from app.databases.database import Databases
from tests.support.erasure_scene import Scene, Subject, open_scene
from tests.support.servers import Servers, copied

DENIED: dict[DatabaseName, list[str]] = {
    "general": [
        "SELECT content FROM messages",
        "SELECT count(*) FROM messages",
        "SELECT title FROM chat_sessions",
        "SELECT * FROM chat_sessions",
        "SELECT answer FROM general_idempotency_keys",
        "SELECT octet_length(answer) FROM general_idempotency_keys",
        "SELECT fingerprint FROM general_idempotency_keys",
        "SELECT * FROM erasure_receipts",
        "SELECT * FROM chat_session_of({tenant}, {user}, {user})",
        "SELECT export_messages({tenant}, {user}, {user}, 0, 100)",
        "DELETE FROM messages",
        "DELETE FROM chat_sessions",
        "DELETE FROM general_idempotency_keys",
        "TRUNCATE messages",
        "INSERT INTO owners (tenant_id, user_id) VALUES ({tenant}, gen_random_uuid())",
        "UPDATE owners SET state = 'closed'",
        "UPDATE owners SET closed_at = now()",
        "UPDATE owners SET chat_sessions = 777, messages = 9999",
        "UPDATE chat_sessions SET user_id = gen_random_uuid()",
        "INSERT INTO erasure_receipts SELECT * FROM exported_receipts(0, 1)",
    ],
    "user": [
        "SELECT mend_ledger({tenant}, {user}, 'deleted')",
        "SELECT mend_ledger({tenant}, {user}, 'gone')",
        "SELECT * FROM users",
        "SELECT * FROM subject_ledger",
        "UPDATE subject_ledger SET state = 'deleted'",
        "DELETE FROM users",
        "SELECT * FROM platform_users(NULL, 10)",
        "SELECT * FROM login_attempt('x', 'x', 'x', 'x', 10, '1 s')",
        "SELECT * FROM authenticate('x', '1 day')",
        "SELECT tenant_of_user({user})",
    ],
}
ALLOWED: dict[DatabaseName, list[str]] = {
    "general": [
        "SELECT tenant_id, user_id, id, message_count FROM chat_sessions FOR UPDATE",
        "SELECT tenant_id, user_id FROM general_idempotency_keys",
        "SELECT * FROM owners FOR UPDATE",
        "SELECT * FROM exported_receipts(0, 10)",
        "SELECT close_owner({tenant}, {user})",
    ],
    "user": [
        "SELECT * FROM claim_erasure('1 minute')",
        "SELECT * FROM ledger_digest()",
    ],
}
RECEIPT = "SELECT chat_sessions, messages FROM append_receipt($1, $2)"


class Relay(NamedTuple):
    """The relay's login in both databases, in the tenant of a user with two sessions."""

    scene: Scene
    alice: Subject
    user: asyncpg.Connection
    general: asyncpg.Connection

    async def run(self, name: DatabaseName, statement: str) -> None:
        """Run it and undo it."""
        connection: asyncpg.Connection = getattr(self, name)
        values = {"tenant": f"'{self.alice.tenant_id}'", "user": f"'{self.alice.user_id}'"}
        transaction = connection.transaction()
        await transaction.start()
        try:
            await connection.execute(statement.format(**values))
        finally:
            await transaction.rollback()

    async def erase(self, subject: Subject, statement: str, *values: Any) -> Any:
        return await self.general.fetchrow(statement, subject.tenant_id, subject.user_id, *values)


@pytest.fixture
async def database(servers: Servers, template: str) -> AsyncIterator[str]:
    """Copies of its own, whose statements are not held to one tenant: they are no service's."""
    async with copied(servers, template) as name:
        yield name


@pytest.fixture
async def relay(servers: Servers, database: str) -> AsyncIterator[Relay]:
    logins = {
        f"database_url_{name}_relay": getattr(servers, name).url(database, "bicameral_relay")
        for name in DATABASES
    }
    async with open_scene(servers, database, **logins) as scene:
        for name in DATABASES:
            upgrade(scene.settings, name)
        alice = await scene.a_user(sessions=2)
        user, general = [await asyncpg.connect(url) for url in logins.values()]
        for connection in (user, general):
            await connection.execute(f"SET app.tenant_id = '{alice.tenant_id}'")
        yield Relay(scene, alice, user, general)
        await user.close()
        await general.close()


@pytest.mark.parametrize("name", DATABASES)
async def test_what_the_relay_does_not_need_is_denied(relay: Relay, name: DatabaseName) -> None:
    for statement in DENIED[name]:
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied"):
            await relay.run(name, statement)
    for statement in ALLOWED[name]:
        await relay.run(name, statement)


async def test_a_receipt_is_only_for_an_owner_whom_an_erasure_closed(relay: Relay) -> None:
    nobody = Subject(relay.alice.tenant_id, uuid4())
    assert await relay.erase(nobody, RECEIPT) is None
    assert await relay.erase(relay.alice, RECEIPT) is None
    by_hand = "UPDATE owners SET state = 'closed'"
    await relay.scene.general.execute(by_hand)
    assert await relay.erase(relay.alice, RECEIPT) is None
    assert await relay.scene.general.fetchval("SELECT state FROM owners") == "closed"
    await relay.scene.delete(relay.alice)
    own = relay_settings(relay.scene.settings)
    databases = Databases.create(own)
    assert await Erasing(databases, own).run_once()
    await databases.dispose()
    assert tuple(await relay.erase(relay.alice, RECEIPT)) == (2, 4)


async def test_a_living_owner_loses_nothing_to_a_step_that_is_skipped(relay: Relay) -> None:
    ids = [row["id"] for row in await relay.general.fetch("SELECT id FROM chat_sessions")]
    keys = "SELECT erase_keys($1, $2, 100)"
    messages = "SELECT deleted FROM erase_messages($1, $2, $3, 0, 100)"
    sessions = "SELECT erase_sessions($1, $2, $3)"
    await relay.scene.general.execute(
        "INSERT INTO general_idempotency_keys (tenant_id, user_id, key, expires_at)"
        " VALUES ($1, $2, 'k', now() + interval '1 day')",
        *(relay.alice.tenant_id, relay.alice.user_id),
    )
    for statement, values in ((keys, ()), (messages, (ids,)), (sessions, (ids,))):
        with pytest.raises(asyncpg.CheckViolationError, match="only what a closed owner has"):
            await relay.erase(relay.alice, statement, *values)
    await relay.erase(relay.alice, "SELECT close_owner($1, $2)")
    assert (await relay.erase(relay.alice, keys))[0] == 1
    assert (await relay.erase(relay.alice, sessions, ids))[0] == 0, "they have messages yet"
    assert (await relay.erase(relay.alice, messages, ids))[0] == 4
    assert (await relay.erase(relay.alice, sessions, ids))[0] == 2
    assert tuple(await relay.erase(relay.alice, RECEIPT)) == (2, 4)


async def test_a_relay_erases_nobody_elses_messages_with_a_closed_owners(relay: Relay) -> None:
    """It names sessions of somebody who is living, in the same tenant."""
    bob = await relay.scene.a_user(relay.alice.tenant_id, sessions=1)
    theirs = "SELECT id FROM chat_sessions WHERE user_id = $1"
    ids = [row["id"] for row in await relay.general.fetch(theirs, bob.user_id)]
    await relay.erase(relay.alice, "SELECT close_owner($1, $2)")
    statement = "SELECT deleted FROM erase_messages($1, $2, $3, 0, 100)"
    assert (await relay.erase(relay.alice, statement, ids))[0] == 0
    assert (await relay.erase(relay.alice, "SELECT erase_sessions($1, $2, $3)", ids))[0] == 0
    assert len(await relay.general.fetch(theirs, bob.user_id)) == 1


async def test_a_relay_sweeps_nothing_of_an_owner_who_is_held(relay: Relay) -> None:
    """It names a session that it has not been given, with fewer rows than the session has."""
    old = "UPDATE chat_sessions SET updated_at = now() - interval '9 days' RETURNING id"
    ids = [row["id"] for row in await relay.scene.general.fetch(old)]
    sweep = "SELECT messages FROM sweep_rows($1, 1, 1, $2, 0)"
    hold = "SELECT set_hold($1, $2, $3, $4)"
    await relay.erase(relay.alice, hold, True, 1)
    with pytest.raises(asyncpg.PostgresError, match="the owner is held"):
        await relay.general.fetchval(sweep, relay.alice.tenant_id, ids)
    await relay.erase(relay.alice, hold, False, 2)
    assert await relay.general.fetchval(sweep, relay.alice.tenant_id, ids) == 1


async def test_the_service_mends_entries_of_its_sessions_tenant_alone(relay: Relay) -> None:
    """With the setting fixed to one tenant nobody elsewhere is deleted by it."""
    url = relay.scene.servers.user.url(relay.scene.database, "bicameral_app")
    service = await asyncpg.connect(url)
    mend = "SELECT mend_ledger($1, $2, 'deleted')"
    whom = (relay.alice.tenant_id, relay.alice.user_id)
    for setting in (str(uuid4()), ""):
        await service.execute(f"SET app.tenant_id = '{setting}'")
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="of the own tenant"):
            await service.execute(mend, *whom)
    await service.execute(f"SET app.tenant_id = '{relay.alice.tenant_id}'")
    await service.execute(mend, *whom)
    await service.close()
    assert (await relay.scene.entry(relay.alice))["state"] == "deleted"
