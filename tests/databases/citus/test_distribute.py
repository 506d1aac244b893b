"""`litestar distribute` on a coordinator and two workers, and the upgrades that follow it."""

from __future__ import annotations

import asyncio

import pytest
from alembic import command
from alembic.util import CommandError

from app.commands.migrate import upgrade
from app.config.settings import Settings, SettingsError
from app.databases.database import Databases
from app.databases.opening import open_connection
from tests.support import citus
from tests.support.cluster import NAME, distribute, migrated, on
from tests.support.migrations import configured
from tests.support.servers import Servers

DISTRIBUTED = "SELECT logicalrelid::text FROM pg_dist_partition WHERE partmethod = 'h'"
OWNER = "INSERT INTO owners (tenant_id, user_id) SELECT u, u FROM gen_random_uuid() AS u"
FORGOTTEN = """
SET session_replication_role = replica;
DELETE FROM owners;
SET session_replication_role = origin
"""
NOTE = "CREATE TABLE {} (tenant_id uuid NOT NULL, id uuid, PRIMARY KEY (tenant_id, id))"


async def test_only_an_empty_database_that_nobody_uses_is_distributed(cluster: Servers) -> None:
    """And each later upgrade distributes a new table, or stops."""
    settings = await migrated(cluster, "second")
    async with on(cluster, "second") as sql:
        await sql.execute(OWNER)
        assert (
            "there are rows in owners, which nobody" in (await distribute(cluster, "second")).line
        )
        await sql.execute(FORGOTTEN)
        service = await open_connection(settings, "general")
        line = (await distribute(cluster, "second")).line
        assert "the service is connected (1 connections)" in line
        await service.close()
        assert (await distribute(cluster, "second")).code == 0
        again = await distribute(cluster, "second")
        assert again.out == "The tables of the general database are distributed.\n"
    config = configured(settings, "general")
    await asyncio.to_thread(command.downgrade, config, "-1")
    async with on(cluster, "second", "bicameral_owner") as owner:
        await owner.execute(NOTE.format("a_note"))
        await asyncio.to_thread(upgrade, settings, "general")
        assert ("a_note",) in {tuple(row) for row in await owner.fetch(DISTRIBUTED)}
        await asyncio.to_thread(command.downgrade, config, "-1")
        await owner.execute(NOTE.format("filled"))
        await owner.execute("INSERT INTO filled SELECT u, u FROM gen_random_uuid() u")
        with pytest.raises(CommandError, match="the table filled has rows already"):
            await asyncio.to_thread(upgrade, settings, "general")


async def test_without_the_setting_the_service_does_not_start(
    distributed: Servers, settings: Settings
) -> None:
    """It would run, and find nothing of anybody: the control is a connection without it."""
    async with on(distributed, NAME) as sql:
        await sql.execute("SET citus.enable_ddl_propagation = off")
        await sql.execute(f"ALTER DATABASE {NAME} RESET citus.propagate_set_commands")
        databases = Databases.create(settings)
        with pytest.raises(SettingsError, match="on Citus every tenant would find nothing"):
            await databases.check()
        await databases.dispose()
        await citus.settle(distributed.general, NAME)
