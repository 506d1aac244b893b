"""Idempotency keys in an erasure: their answers repeat what was said, so they go with the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from app.bridge.erasure import expiry, steps
from app.bridge.reconcile.differences import Difference, Kind
from app.databases.causes import OWNER_CLOSED
from tests.support.differences import past_all_guards, repaired
from tests.support.erasure_scene import Scene, Subject, a_session, dump, waits, writer

STORE = """
INSERT INTO general_idempotency_keys
    (tenant_id, user_id, key, fingerprint, answer, about_id, expires_at)
VALUES ($1, $2, $3, 'x', 'what was said', $4, now() + $5 * interval '1 second')
"""
KEYS = "SELECT count(*) FROM general_idempotency_keys WHERE user_id = $1"
DAY = 86_400
Whose = Callable[[Scene], Awaitable[Subject]]
NO_GUARD = """
DROP TRIGGER owner_is_open ON general_idempotency_keys;
ALTER TABLE general_idempotency_keys DROP CONSTRAINT fk_general_idempotency_keys_tenant_id_owners;
"""


async def store(
    connection: asyncpg.Connection, subject: Subject, about: UUID | None = None, seconds: int = DAY
) -> None:
    values = (subject.tenant_id, subject.user_id, str(uuid4()), about, seconds)
    await connection.execute(STORE, *values)


async def keys(scene: Scene, subject: Subject) -> int:
    return int(await scene.general.fetchval(KEYS, subject.user_id) or 0)


async def erased(scene: Scene, subject: Subject, **how: Any) -> None:
    await scene.delete(subject)
    async with asyncio.timeout(30):
        assert await scene.relay(**how).run_once()


async def test_an_erasure_deletes_keys_before_the_receipt_and_nobody_elses(scene: Scene) -> None:
    """It deletes those of a session, which would take them along at once, in batches, too."""
    alice, bob = await scene.a_user(), await scene.a_user(sessions=1)
    session_id = await a_session(scene.general, alice)
    for number in range(12):
        await store(scene.general, alice, session_id if number % 2 else None)
    await store(scene.general, bob)
    left: list[int] = []

    async def hook(reached: str) -> None:
        if reached == "batch":
            left.append(await keys(scene, alice))

    await erased(scene, alice, hook=hook, relay_batch_rows=5)
    assert left == [7, 2, 0, 0]
    assert (await keys(scene, alice), await keys(scene, bob)) == (0, 1)
    (receipt,) = await scene.receipts()
    assert (receipt["chat_sessions"], receipt["messages"]) == (1, 2)


async def test_a_batch_of_keys_is_no_larger_than_its_answers_allow(scene: Scene) -> None:
    alice = await scene.a_user(sessions=1)
    for _ in range(3):
        await store(scene.general, alice)
    large = "UPDATE general_idempotency_keys SET answer = convert_to(repeat('x', 200000), 'UTF8')"
    await scene.general.execute(large)
    left: list[int] = []

    async def hook(reached: str) -> None:
        left.append(await keys(scene, alice))

    await erased(scene, alice, hook=hook, relay_batch_rows=5)
    assert sorted(set(left), reverse=True) == [3, 2, 1, 0]


@pytest.mark.parametrize("with_key", [True, False], ids=["with a key", "control"])
async def test_there_is_no_receipt_while_a_key_is_left(scene: Scene, with_key: bool) -> None:
    """A relay that does not purge: the receipt's own count finds it."""
    alice = await scene.a_user(sessions=1)
    if with_key:
        await store(scene.general, alice)
    await scene.general.execute("DELETE FROM chat_sessions")
    await erased(scene, alice, without="purge")
    assert len(await scene.receipts()) == (0 if with_key else 1)
    await scene.due()
    assert await scene.relay().run_once() == with_key
    assert len(await scene.receipts()) == 1
    assert await keys(scene, alice) == 0


@pytest.mark.parametrize("of_session", [True, False], ids=["a message's", "a session's"])
async def test_a_key_not_yet_committed_is_waited_for(scene: Scene, of_session: bool) -> None:
    alice = await scene.a_user()
    session_id = await a_session(scene.general, alice)
    async with writer(scene, alice.tenant_id) as connection:
        await store(connection, alice, session_id if of_session else None)
        await scene.delete(alice)
        erasing = asyncio.create_task(scene.relay().run_once())
        await waits(scene)
        await connection.execute("COMMIT")
        assert await erasing
    assert len(await scene.receipts()) == 1
    assert await keys(scene, alice) == 0


async def test_control_without_the_gate_a_key_is_left_behind_a_receipt(scene: Scene) -> None:
    """Nor is there a session whose lock the relay would wait for."""
    alice = await scene.a_user(sessions=1)
    await scene.general.execute(NO_GUARD)
    async with writer(scene, alice.tenant_id) as connection:
        await store(connection, alice)
        await erased(scene, alice)
        await connection.execute("COMMIT")
    assert len(await scene.receipts()) == 1
    assert await keys(scene, alice) == 1


@pytest.mark.parametrize("guarded", [True, False], ids=["guarded", "control"])
async def test_no_key_is_stored_once_the_owner_is_closed(scene: Scene, guarded: bool) -> None:
    alice = await scene.a_user(sessions=1)
    if not guarded:
        await scene.general.execute("DROP TRIGGER owner_is_open ON general_idempotency_keys")
    await scene.delete(alice)
    await steps.close(scene.work(alice))
    if guarded:
        with pytest.raises(asyncpg.PostgresError) as refused:
            await store(scene.general, alice)
        assert refused.value.sqlstate == OWNER_CLOSED
    else:
        await store(scene.general, alice)
    assert await keys(scene, alice) == (0 if guarded else 1)


async def test_expired_keys_are_deleted_in_batches_and_no_others(scene: Scene) -> None:
    alice = await scene.a_user(sessions=1)
    for _ in range(2 * expiry.ROWS + 1):
        await store(scene.general, alice, seconds=0)
    await store(scene.general, alice)
    await expiry.expire(scene.databases.general)
    assert await keys(scene, alice) == 1


async def test_an_expired_key_that_somebody_holds_is_passed_by(scene: Scene) -> None:
    """The sweep deletes the others, of several tenants, and does not wait."""
    alice, bob = await scene.a_user(sessions=1), await scene.a_user(sessions=1)
    for subject in (alice, alice, bob):
        await store(scene.general, subject, seconds=0)
    async with scene.another() as holder, holder.transaction():
        statement = "SELECT FROM general_idempotency_keys WHERE user_id = $1 LIMIT 1 FOR UPDATE"
        await holder.execute(statement, alice.user_id)
        await expiry.expire(scene.databases.general)
        assert (await keys(scene, alice), await keys(scene, bob)) == (1, 0)
    await expiry.expire(scene.databases.general)
    assert await keys(scene, alice) == 0


async def test_wherever_a_relay_runs_expired_keys_go(scene: Scene) -> None:
    """Both databases' again and again; one that fails does not keep the other's waiting."""
    await scene.user.execute("ALTER TABLE user_idempotency_keys RENAME TO gone")
    alice = await scene.a_user(sessions=1)
    relay = scene.relay(idempotency_sweep_seconds=0.01, relay_listen=False)
    running = asyncio.create_task(relay.run())
    try:
        for _ in range(2):
            await store(scene.general, alice, seconds=0)
            async with asyncio.timeout(30):
                while await keys(scene, alice):
                    assert not running.done()
    finally:
        running.cancel()
        await asyncio.wait({running})


async def key_of_the_erased(scene: Scene) -> Subject:
    alice = await scene.a_user(sessions=1)
    await erased(scene, alice)
    return alice


async def key_of_a_stranger(_: Scene) -> Subject:
    """With neither a session nor an owner."""
    return Subject(uuid4(), uuid4())


@pytest.mark.parametrize(
    ("whose", "kind"),
    [(key_of_the_erased, Kind.ROWS_LEFT), (key_of_a_stranger, Kind.STRANGER)],
)
async def test_reconcile_finds_a_key_that_slipped_in(
    scene: Scene, whose: Whose, kind: Kind
) -> None:
    await store(scene.general, await scene.a_user(sessions=1))
    subject = await whose(scene)
    before = await dump(scene, {str(subject.user_id)})
    async with past_all_guards(scene.general):
        await store(scene.general, subject)
    outcome = await repaired(scene)
    assert outcome.found == {Difference(kind, subject.tenant_id, subject.user_id)}
    assert await keys(scene, subject) == 0
    assert await dump(scene, {str(subject.user_id)}) == before
