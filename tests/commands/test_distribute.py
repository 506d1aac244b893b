"""`litestar distribute` on a PostgreSQL without Citus: what it would do, and what it refuses."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest

from app.config.settings import Settings
from app.databases import citus
from app.databases.opening import open_connection, unsafe
from tests.support import citus as citus_tests
from tests.support import pgbouncer
from tests.support.commands import litestar, urls
from tests.support.models import WITH_TENANT
from tests.support.round_trips import RoundTripCounter
from tests.support.servers import Servers, run, settings_for

PLAN = """\
BEGIN;
ALTER DATABASE {database} SET citus.propagate_set_commands = 'local';
ALTER ROLE bicameral_owner IN DATABASE {database} SET citus.enable_unsafe_triggers = 'on';
ALTER ROLE bicameral_owner IN DATABASE {database} SET citus.multi_shard_modify_mode = 'sequential';
SET LOCAL citus.enable_unsafe_triggers = 'on';
SET LOCAL citus.multi_shard_modify_mode = 'sequential';
LOCK TABLE public.owners, public.retention_tallies, public.chat_sessions, \
public.general_idempotency_keys, public.messages IN SHARE ROW EXCLUSIVE MODE;
SELECT create_distributed_table('public.owners', 'tenant_id', colocate_with => 'none');
SELECT create_distributed_table('public.retention_tallies', 'tenant_id', \
colocate_with => 'public.owners');
SELECT create_distributed_table('public.chat_sessions', 'tenant_id', \
colocate_with => 'public.owners');
SELECT create_distributed_table('public.general_idempotency_keys', 'tenant_id', \
colocate_with => 'public.owners');
SELECT create_distributed_table('public.messages', 'tenant_id', \
colocate_with => 'public.owners');
COMMIT;
"""
NEW_TABLES = """
CREATE TABLE a_note (tenant_id uuid, id uuid, message_id uuid, PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, message_id) REFERENCES messages (tenant_id, id));
CREATE TABLE a_word (id uuid PRIMARY KEY);
"""
FINE: dict[str, Any] = {
    "version": 180000,
    "encoding": "UTF8",
    "sees_tables": True,
    "rolsuper": False,
    "rolbypassrls": False,
    "owns": False,
    "is_on_citus": True,
    "hands_on": "local",
}
pytestmark = pytest.mark.skipif(citus_tests.IS_WANTED, reason="these have no Citus")


def as_the_owner(servers: Servers, database: str) -> dict[str, str]:
    owner = servers.general.url(database, "bicameral_owner")
    return urls(servers, database) | {"DATABASE_URL_GENERAL_OWNER": owner}


async def test_a_dry_run_prints_every_statement(servers: Servers, database: str) -> None:
    shown = await litestar("distribute", "--dry-run", env=as_the_owner(servers, database))
    assert (shown.code, shown.out, shown.err) == (0, PLAN.format(database=database), "")


async def test_without_citus_it_ends_with_one_line(servers: Servers, database: str) -> None:
    ended = await litestar("distribute", env=as_the_owner(servers, database))
    assert ended.code == 1
    assert ended.line == (
        "bicameral: general database: Citus is not there; CREATE EXTENSION citus is a superuser's"
    )


async def test_a_new_table_with_a_tenant_is_distributed_after_what_it_refers_to(
    servers: Servers, database: str
) -> None:
    """The catalog names the tables, and no list that somebody would have to keep."""
    await run(servers.general, NEW_TABLES, database)
    shown = await litestar("distribute", "--dry-run", env=as_the_owner(servers, database))
    distributed = [line.split("'")[1] for line in shown.out.splitlines() if "create_" in line]
    assert distributed.index("public.a_note") > distributed.index("public.messages")
    assert "public.a_word" not in distributed


async def test_what_has_a_tenant_is_distributed_or_named_with_a_reason(settings: Settings) -> None:
    connection = await asyncpg.connect(settings.url("general", owner=True).dsn)
    try:
        rows = await connection.fetch(citus.TABLES_BEFORE_CITUS)
    finally:
        await connection.close()
    tables = [citus.Table(*row) for row in rows]
    assert {table.name for table in tables} == WITH_TENANT
    assert set(citus.missing(tables)) == WITH_TENANT - citus.LOCAL.keys()
    assert citus.LOCAL.keys() == {"erasure_receipts"}


def test_the_service_refuses_a_citus_that_would_hide_every_row() -> None:
    assert unsafe(FINE, "general") is None
    assert unsafe(FINE | {"is_on_citus": False, "hands_on": None}, "general") is None
    for kept_back in (None, "none"):
        line = unsafe(FINE | {"hands_on": kept_back}, "general")
        assert line == (
            "on Citus every tenant would find nothing; run litestar distribute, "
            "or ALTER DATABASE … SET citus.propagate_set_commands = 'local'"
        )
    assert unsafe(FINE | {"hands_on": None}, "user") is None  # its tables are not distributed


async def test_a_statement_alone_is_a_transaction_and_stays_prepared(
    servers: Servers, database: str
) -> None:
    """That is how a connection to Citus sends it: BEGIN, the statement, COMMIT."""
    question = "SELECT $1::text AS word"
    async with RoundTripCounter(servers.general.port).open() as wire:
        settings = settings_for(
            servers, database, database_url_general=pgbouncer.url_at(wire.port, database)
        )
        connection = await open_connection(settings, "general")
        for begins_alone, round_trips in ((False, 1), (True, 3)):
            connection.begins_alone = begins_alone
            await connection.fetch(question, "prepared")
            before = wire.round_trips
            await connection.fetch(question, "again")
            assert wire.round_trips - before == round_trips
        with pytest.raises(asyncpg.DivisionByZeroError):
            await connection.fetchval("SELECT 1 / $1::int", 0)
        assert not connection.is_in_transaction()
        kept = "SELECT count(*) FROM pg_prepared_statements WHERE statement = $1"
        assert await connection.fetchval(kept, question) == 1
        await connection.close()
