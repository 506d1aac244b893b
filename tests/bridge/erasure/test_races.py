"""Each line of the design's table of races, held open at the worst moment, on two connections.

Beside each stands its control: the same race without the guard, and the orphan it leaves.
"""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from app.bridge.erasure import steps
from app.databases.causes import OWNER_CLOSED
from app.http.errors import Unauthenticated
from app.http.security import Principal
from tests.support.chat import open_session
from tests.support.erasure_scene import Scene, Subject, a_session, waits, writer

STALL = """
CREATE FUNCTION stall() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NEW; END $$;
CREATE TRIGGER a_stall BEFORE INSERT ON chat_sessions FOR EACH ROW EXECUTE FUNCTION stall();
"""
CLOSED = "owner is closed"
WITHOUT_TRIGGER = "ALTER TABLE chat_sessions DISABLE TRIGGER owner_is_open"


async def by_service(scene: Scene, subject: Subject) -> Any:
    """A request whose token was checked before the user was deleted."""
    late = Principal(subject.user_id, subject.tenant_id, "\\acme\\late", frozenset())
    return await open_session(scene.databases.general, late, "Late")


async def erased(scene: Scene, subject: Subject, **how: Any) -> None:
    await scene.delete(subject)
    assert await scene.relay(**how).run_once()


async def test_a_session_after_the_erasure_is_refused(scene: Scene) -> None:
    alice = await scene.a_user(sessions=1)
    await erased(scene, alice)
    with pytest.raises(Unauthenticated):
        await by_service(scene, alice)
    with pytest.raises(asyncpg.PostgresError, match=CLOSED) as refused:
        await a_session(scene.general, alice)
    assert refused.value.sqlstate == OWNER_CLOSED
    assert await scene.orphans() == 0


async def test_control_without_the_trigger_plain_sql_leaves_an_orphan(scene: Scene) -> None:
    """The service's own statement is a guard by itself."""
    await scene.general.execute(WITHOUT_TRIGGER)
    alice = await scene.a_user(sessions=1)
    await erased(scene, alice)
    with pytest.raises(Unauthenticated):
        await by_service(scene, alice)
    await a_session(scene.general, alice)
    assert await scene.orphans() == 1


async def test_a_first_session_after_the_erasure_is_refused(scene: Scene) -> None:
    """Their first session ever comes after they were erased."""
    alice = await scene.a_user()
    await erased(scene, alice)
    with pytest.raises(Unauthenticated):
        await by_service(scene, alice)
    with pytest.raises(asyncpg.PostgresError, match=CLOSED):
        await a_session(scene.general, alice)


async def test_control_without_the_tombstone_there_is_no_receipt_either(scene: Scene) -> None:
    alice = await scene.a_user()
    await erased(scene, alice, without="close")
    assert await scene.receipts() == []
    assert (await scene.entry(alice))["last_error"] == "NoReceiptError"
    await by_service(scene, alice)
    assert await scene.orphans() == 1


@pytest.mark.parametrize("first", [True, False], ids=["their first ever", "one more"])
async def test_a_session_not_yet_committed_is_waited_for(scene: Scene, first: bool) -> None:
    alice = await scene.a_user(sessions=0 if first else 1)
    async with writer(scene, alice.tenant_id) as connection:
        await a_session(connection, alice)
        await scene.delete(alice)
        erasing = asyncio.create_task(scene.relay().run_once())
        await waits(scene)
        await connection.execute("COMMIT")
        assert await erasing
    (receipt,) = await scene.receipts()
    assert receipt["chat_sessions"] == (1 if first else 2)
    assert await scene.orphans() == 0


async def test_control_without_the_drain_a_session_is_an_orphan_behind_a_receipt(
    scene: Scene,
) -> None:
    alice = await scene.a_user(sessions=1)
    async with writer(scene, alice.tenant_id) as connection:
        await a_session(connection, alice)
        await erased(scene, alice, without="drain")
        await connection.execute("COMMIT")
    assert len(await scene.receipts()) == 1
    assert await scene.orphans() == 1


@pytest.mark.parametrize("how", ["service", "plain SQL"])
async def test_the_owner_closes_within_the_inserting_statement(scene: Scene, how: str) -> None:
    """It began while the owner was open, and looks again before it ends."""
    alice = await scene.a_user(sessions=1)
    await scene.general.execute(STALL)
    await scene.general.execute("SELECT pg_advisory_lock(1)")
    async with writer(scene, alice.tenant_id) as connection:
        insert = by_service(scene, alice) if how == "service" else a_session(connection, alice)
        inserting = asyncio.create_task(insert)
        await waits(scene)
        await scene.delete(alice)
        await steps.close(scene.work(alice))
        await scene.general.execute("SELECT pg_advisory_unlock(1)")
        with pytest.raises(Unauthenticated if how == "service" else asyncpg.PostgresError):
            await inserting
    assert await scene.relay().run_once()
    assert await scene.orphans() == 0


async def test_a_message_not_yet_committed_is_waited_for_and_counted(scene: Scene) -> None:
    alice = await scene.a_user()
    session_id = await a_session(scene.general, alice)
    async with writer(scene, alice.tenant_id) as connection:
        await connection.execute(
            "UPDATE chat_sessions SET message_count = message_count + 1"
            " WHERE tenant_id = $1 AND id = $2",
            *(alice.tenant_id, session_id),
        )
        await connection.execute(
            "INSERT INTO messages (tenant_id, id, session_id, position, role, content)"
            " VALUES ($1, gen_random_uuid(), $2, 3, 'user', 'Late')",
            alice.tenant_id,
            session_id,
        )
        await scene.delete(alice)
        erasing = asyncio.create_task(scene.relay().run_once())
        await waits(scene)
        await connection.execute("COMMIT")
        assert await erasing
    (receipt,) = await scene.receipts()
    assert receipt["messages"] == 3
    assert await scene.general.fetchval("SELECT count(*) FROM messages") == 0


ERASE = "SELECT deleted_sessions FROM erase_rows($1, ARRAY[$2::uuid], 100, NULL, NULL)"
INSERT_LATE = """
INSERT INTO messages (tenant_id, id, session_id, position, role, content)
VALUES ($1, gen_random_uuid(), $2, 99, 'user', 'Late')
"""


@pytest.mark.parametrize("guarded", [True, False], ids=["guarded", "control"])
async def test_a_message_into_a_session_being_purged_is_refused(
    scene: Scene, guarded: bool
) -> None:
    """Its foreign key waits for the purge; without it the message would be left behind."""
    alice = await scene.a_user()
    session_id = await a_session(scene.general, alice)
    if not guarded:
        drop = "ALTER TABLE messages DROP CONSTRAINT fk_messages_tenant_id_chat_sessions"
        await scene.general.execute(drop)
    await scene.delete(alice)
    await steps.close(scene.work(alice))
    async with writer(scene, alice.tenant_id) as purge:
        assert await purge.fetchval(ERASE, alice.tenant_id, alice.user_id) == 1
        late = scene.general.execute(INSERT_LATE, alice.tenant_id, session_id)
        writing = asyncio.create_task(late)
        if guarded:
            await waits_elsewhere(scene)
        else:
            await writing
        await purge.execute("COMMIT")
    if guarded:
        with pytest.raises(asyncpg.ForeignKeyViolationError):
            await writing
    left = await scene.general.fetchval("SELECT count(*) FROM messages")
    assert left == (0 if guarded else 1)


async def waits_elsewhere(scene: Scene) -> None:
    """While the scene's own connection is the one that waits."""
    async with scene.another() as connection:
        await waits(scene, on=connection)


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
async def test_a_write_with_an_older_snapshot_is_refused(scene: Scene, level: str) -> None:
    """It would show an owner open who was closed meanwhile."""
    alice = await scene.a_user(sessions=1)
    async with writer(scene, alice.tenant_id) as connection:
        await connection.execute("ROLLBACK")
        await connection.execute(f"BEGIN ISOLATION LEVEL {level}")
        await connection.execute(f"SET LOCAL app.tenant_id = '{alice.tenant_id}'")
        with pytest.raises(asyncpg.InvalidTransactionStateError, match="READ COMMITTED"):
            await a_session(connection, alice)


async def test_a_session_cannot_be_moved_to_an_erased_user(scene: Scene) -> None:
    tenant_id = await scene.a_tenant()
    alice, bob = await scene.a_user(tenant_id), await scene.a_user(tenant_id, sessions=1)
    await erased(scene, alice)
    with pytest.raises(asyncpg.PostgresError, match=CLOSED):
        await scene.general.execute(
            "UPDATE chat_sessions SET user_id = $1 WHERE user_id = $2", alice.user_id, bob.user_id
        )
