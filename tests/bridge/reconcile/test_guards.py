"""Triggers and constraints that are off, missing or not validated: the owner mends them."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest
from pydantic import SecretStr
from sqlalchemy.exc import DBAPIError

from app.bridge.reconcile import guards
from app.bridge.reconcile.differences import Difference, Kind
from app.bridge.reconcile.reconciler import Reconciler, reconcile_settings
from app.commands.migrate import upgrade
from app.databases.connection import DATABASES, DatabaseName
from app.databases.database import Databases
from tests.support.commands import litestar, urls
from tests.support.differences import (
    deletion_undone,
    entry_lost,
    erasure_undone,
    past_all_guards,
    reconciler,
    repaired,
    rows_without_owner,
)
from tests.support.erasure_scene import Scene, a_session

DEFINITION = """
SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgname = $1 AND tgrelid = $2::text::regclass
UNION ALL
SELECT pg_get_constraintdef(oid) FROM pg_constraint
WHERE conname = $1 AND conrelid = $2::text::regclass
"""
TOKEN_OF_NOBODY = """
INSERT INTO access_tokens (digest, tenant_id, user_id, expires_at)
VALUES ('x', gen_random_uuid(), gen_random_uuid(), now())
"""
POLICIES = "SELECT count(*) FROM pg_policies WHERE policyname = 'validation'"


IN_THE_CATALOGUE = """
SELECT tgname || ' on ' || tgrelid::regclass FROM pg_trigger WHERE NOT tgisinternal
UNION ALL
SELECT conname || ' on ' || conrelid::regclass FROM pg_constraint
WHERE connamespace = 'public'::regnamespace AND contype = 'f'
"""


@pytest.mark.parametrize("name", DATABASES)
async def test_every_trigger_and_foreign_key_is_a_guard(scene: Scene, name: DatabaseName) -> None:
    """A new one joins the list of guards in the change that brings it."""
    connection: asyncpg.Connection = getattr(scene, name)
    there = {f"{row[0]} in the {name} database" for row in await connection.fetch(IN_THE_CATALOGUE)}
    assert len(there) >= 10
    assert there - guards.THINGS.keys() == set()


@pytest.mark.parametrize("name", DATABASES)
async def test_a_missing_guard_is_made_as_the_migration_made_it(
    scene: Scene, name: DatabaseName
) -> None:
    connection: asyncpg.Connection = getattr(scene, name)
    for thing, (where, table, guard) in guards.THINGS.items():
        if where != name:
            continue
        before = await connection.fetchval(DEFINITION, guard, table)
        if before.startswith("CREATE TRIGGER"):
            await connection.execute(f"DROP TRIGGER {guard} ON {table}")
        else:
            await connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT {guard}")
        found = await guards.faults(scene.databases)
        assert found == {Difference(Kind.GUARD_MISSING, thing=thing)}
        while found := await guards.faults(scene.databases):
            assert await guards.mend(scene.settings, found.pop())
        assert await connection.fetchval(DEFINITION, guard, table) == before


async def test_every_disabled_trigger_is_found_the_foreign_keys_too(scene: Scene) -> None:
    await scene.a_user(sessions=1)
    for where, table, _ in guards.THINGS.values():
        await getattr(scene, where).execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL")
    found = await reconciler(scene).find()
    keys = {thing for thing, (_, _, guard) in guards.THINGS.items() if guard.startswith("ck_")}
    assert {one.thing for one in found} == guards.THINGS.keys() - keys
    assert {one.kind for one in found} == {Kind.GUARD_OFF}
    assert (await repaired(scene)).left == frozenset()


async def test_foreign_keys_that_hold_for_new_rows_alone_or_for_none_are_mended(
    scene: Scene,
) -> None:
    """All of them, NOT VALID as an operator may leave them; NOT ENFORCED is PostgreSQL 18's."""
    keys = {thing: one for thing, one in guards.THINGS.items() if one[2].startswith("fk_")}
    version = await scene.user.fetchval("SELECT current_setting('server_version_num')::int")
    states = {"NOT VALID": Kind.NOT_VALIDATED}
    if version >= 180000:
        states["NOT ENFORCED"] = Kind.GUARD_OFF
    for state, kind in states.items():
        for where, table, guard in keys.values():
            how = guards.GUARDS[where][table][guard]
            drop = f"ALTER TABLE {table} DROP CONSTRAINT {guard}, ADD CONSTRAINT {guard}"
            await getattr(scene, where).execute(f"{drop} {how} {state}")
        found = await guards.faults(scene.databases)
        assert found == {Difference(kind, thing=thing) for thing in keys}
        assert (await repaired(scene)).left == frozenset()


async def test_a_trigger_that_fires_in_a_replica_only_counts_as_off(scene: Scene) -> None:
    await scene.general.execute("ALTER TABLE chat_sessions ENABLE REPLICA TRIGGER owner_is_open")
    thing = "owner_is_open on chat_sessions in the general database"
    assert await reconciler(scene).find() == {Difference(Kind.GUARD_OFF, thing=thing)}


async def test_a_dropped_key_comes_back_once_what_slipped_in_is_gone(scene: Scene) -> None:
    """The rows first, then the constraint's validation."""
    name = "fk_chat_sessions_tenant_id_owners"
    await scene.general.execute(f"ALTER TABLE chat_sessions DROP CONSTRAINT {name}")
    there, gone = await scene.a_user(), await scene.a_user()
    await scene.delete(gone)
    assert await scene.relay().run_once()
    async with past_all_guards(scene.general):
        await a_session(scene.general, there)
        await a_session(scene.general, gone)
    outcome = await repaired(scene)
    assert {one.kind for one in outcome.found} == {
        Kind.GUARD_MISSING,
        Kind.NOT_VALIDATED,
        Kind.OWNER_LOST,
        Kind.ROWS_LEFT,
    }
    assert await scene.orphans() == 0
    assert await scene.general.fetchval("SELECT count(*) FROM chat_sessions") == 1


async def test_without_the_owners_login_reconcile_says_what_to_run(scene: Scene) -> None:
    await scene.user.execute("ALTER TABLE users DISABLE TRIGGER keep_subject_ledger")
    ended = await litestar("reconcile", "--repair", env=urls(scene.servers, scene.database))
    line = "guard_off: keep_subject_ledger on users in the user database: is off"
    cure = "; as the owner: ALTER TABLE users ENABLE TRIGGER keep_subject_ledger"
    assert ended.code == 1
    assert ended.out.splitlines() == [line + cure, "1 differences could not be mended."]


async def test_a_key_is_not_valid_while_rows_stand_against_it(scene: Scene) -> None:
    """Though FORCE ROW LEVEL SECURITY hides them from the owner, who asks whether it holds."""
    table, name = "access_tokens", "fk_access_tokens_user_id_users"
    await scene.user.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
    await scene.user.execute(TOKEN_OF_NOBODY)
    left = Difference(Kind.NOT_VALIDATED, thing=f"{name} on {table} in the user database")
    assert (await reconciler(scene).repair()).left == {left}
    assert await scene.user.fetchval(POLICIES) == 0
    await scene.user.execute(f"DELETE FROM {table}")
    assert (await repaired(scene)).left == frozenset()
    assert await scene.user.fetchval(POLICIES) == 0


async def test_reading_takes_the_relays_login_and_mending_the_services(scene: Scene) -> None:
    """All but guards: those are the owner's."""
    urls_of_relay = {
        f"database_url_{name}_relay": SecretStr(
            getattr(scene.servers, name).url(scene.database, "bicameral_relay")
        )
        for name in DATABASES
    }
    own = scene.settings.model_copy(update=urls_of_relay)
    for fault in (erasure_undone, deletion_undone, rows_without_owner, entry_lost):
        await fault(scene)
    async with past_all_guards(scene.general):
        await scene.general.execute(
            "INSERT INTO messages (tenant_id, id, session_id, position, role, content)"
            " VALUES (gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 1, 'user', 'Hello')"
        )
    for name in DATABASES:
        await asyncio.to_thread(upgrade, own, name)
    settings = reconcile_settings(own)
    relay, service = Databases.create(settings), Databases.create(own)
    alone = Reconciler(relay, settings)
    assert len(await alone.find()) == 5
    with pytest.raises(DBAPIError, match="permission denied"):
        await alone.repair()
    outcome = await Reconciler(relay, settings, service=service).repair()
    await relay.dispose()
    await service.dispose()
    assert len(outcome.found) == 5
    assert (outcome.left, outcome.pending) == (frozenset(), 0)
