"""Erasure copes with what was there before it: old sessions, old versions, other logins."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import asyncpg
import pytest
from alembic import command

from app.bridge.erasure.relay import Relay, relay_settings
from app.commands.dev import create_database
from app.commands.migrate import alembic_config, upgrade
from app.config.settings import Settings
from app.databases.database import Databases
from tests.support.erasure_scene import Subject, a_session, open_scene
from tests.support.servers import Servers, numbers, run, settings_for


@pytest.fixture
async def empty(servers: Servers) -> AsyncIterator[str]:
    name = f"deployment_{next(numbers)}"
    for server in servers:
        await create_database(server, name)
    yield name
    for server in servers:
        await run(server, f"DROP DATABASE {name} WITH (FORCE)")


async def migrate(settings: Settings, revision: str, *, down: bool = False) -> None:
    config = alembic_config("general")
    config.attributes["settings"] = settings
    act = command.downgrade if down else command.upgrade
    await asyncio.to_thread(act, config, revision)


async def test_sessions_from_before_owners_get_theirs(servers: Servers, empty: str) -> None:
    """Sessions of every tenant do, though row level security holds the migrating login, too."""
    settings = settings_for(servers, empty)
    await migrate(settings, "g0001")
    general = await asyncpg.connect(servers.general.url(empty))
    try:
        people = [Subject(uuid4(), uuid4()) for _ in range(3)]
        for one in people * 2:
            await a_session(general, one)
        await migrate(settings, "g0002")
        people.append(Subject(uuid4(), uuid4()))
        await a_session(general, people[-1])  # by the version before, which still runs
        await migrate(settings, "head")
        found = await general.fetch("SELECT tenant_id, user_id FROM owners WHERE state = 'open'")
        assert {tuple(row) for row in found} == {(one.tenant_id, one.user_id) for one in people}
        assert await general.fetchval(VALIDATED)
        assert await general.fetchval(UNFORCED) == 0
        await migrate(settings, "g0001", down=True)
        assert await general.fetchval(UNFORCED) == 0
        await migrate(settings, "head")
        assert await general.fetchval("SELECT count(*) FROM owners") == len(people)
    finally:
        await general.close()


VALIDATED = """
SELECT convalidated FROM pg_constraint WHERE conname = 'fk_chat_sessions_tenant_id_owners'
"""
UNFORCED = """
SELECT count(*) FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND NOT relforcerowsecurity
AND relname NOT IN ('alembic_version', 'heartbeats')
"""


async def test_a_relay_erases_with_logins_of_its_own(servers: Servers, empty: str) -> None:
    """It can do all it must; and what it alone needs, the service then cannot do."""
    settings = settings_for(
        servers,
        empty,
        database_url_user_relay=servers.user.url(empty, "bicameral_relay"),
        database_url_general_relay=servers.general.url(empty, "bicameral_relay"),
    )
    for name in ("user", "general"):
        await asyncio.to_thread(upgrade, settings, name)
    async with open_scene(servers, empty) as scene:
        alice = await scene.a_user(sessions=2)
        await scene.delete(alice)
        with pytest.raises(Exception, match="permission denied"):
            await scene.relay().run_once()
        databases = Databases.create(relay_settings(settings))
        await databases.check()
        assert await Relay(databases, settings).run_once()
        assert len(await scene.receipts()) == 1
        assert await scene.orphans() == 0
        for database in (databases.user, databases.general):
            await database.dispose()
