"""`litestar distribute` spreads the general database's tables over the workers of Citus.

It is for a database that is still empty: rows would stay on the coordinator's disk, where no
statement finds them any more.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import click
from alembic.util import CommandError

from app.commands.migrate import upgrade
from app.commands.running import run
from app.config.settings import Settings, load_settings, stop
from app.databases import citus, hosts
from app.databases.citus import OWNER_SETTINGS, PROPAGATES_SET, Table
from app.databases.opening import GRACE_SECONDS

NAME = "bicameral distribute"
PLACE = """
SELECT quote_ident(current_database()) AS database, quote_ident(current_user) AS owner,
       pg_has_role(d.datdba, 'USAGE') AS may_alter,
       EXISTS (SELECT FROM pg_db_role_setting s
               WHERE s.setdatabase = d.oid AND s.setrole = 0 AND $1 = ANY (s.setconfig)) AS is_set
FROM pg_database d WHERE d.datname = current_database()
"""
# Row level security would hide the rows of the tables from their owner, and so from Citus.
WITHOUT_BYPASSRLS = """
SELECT nodename || ':' || nodeport AS node
FROM run_command_on_all_nodes('SELECT rolbypassrls FROM pg_roles WHERE rolname = current_user')
JOIN pg_dist_node USING (nodeid) WHERE NOT success OR result <> 't' ORDER BY 1
"""
CONNECTED = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'bicameral'
"""


@click.command()
@click.option("--dry-run", is_flag=True, help="Print the statements and run none of them.")
def distribute(dry_run: bool) -> None:
    """Spread the general database's tables over the workers of Citus, by tenant."""
    settings = load_settings()
    run(carry_out(settings, dry_run=dry_run))
    if not dry_run:
        grant(settings)


def grant(settings: Settings) -> None:
    """Grant the logins their rights again: shards are made without those on single columns."""
    try:
        upgrade(settings, "general")
    except CommandError as error:
        raise stop(str(error)) from None


async def carry_out(settings: Settings, *, dry_run: bool) -> None:
    async with _connected(settings) as connection:
        is_there = await connection.fetchval(citus.IS_THERE)
        tables = await _tables(connection, is_there=is_there)
        place = await connection.fetchrow(PLACE, "=".join(PROPAGATES_SET))
        plan = _plan(place, citus.missing(tables))
        if dry_run:
            click.echo("".join(f"{statement};\n" for statement in plan), nl=False)
            return
        await _refuse(connection, is_there=is_there, place=place)
        await _execute(connection, plan, citus.missing(tables))


@asynccontextmanager
async def _connected(settings: Settings) -> AsyncGenerator[asyncpg.Connection]:
    url = settings.url("general", owner=True)
    seconds = settings.migration_statement_timeout_seconds
    connection: asyncpg.Connection = await hosts.connect(
        url,
        settings.db_connect_timeout_seconds,
        command_timeout=seconds + GRACE_SECONDS,
        server_settings={"application_name": NAME, "statement_timeout": f"{seconds * 1000:.0f}"},
    )
    try:
        yield connection
    except asyncpg.PostgresError as error:
        raise stop(f"general database: {error.args[0]} ({error.sqlstate})") from error
    finally:
        await connection.close()


async def _tables(connection: asyncpg.Connection, *, is_there: bool) -> list[Table]:
    question = citus.TABLES if is_there else citus.TABLES_BEFORE_CITUS
    tables = [Table(*row) for row in await connection.fetch(question)]
    if not tables:
        raise stop("general database: it has no tables; litestar database upgrade makes them")
    return tables


def _plan(place: Any, tables: list[str]) -> list[str]:
    """List all that is done, as one transaction; nothing if all tables are distributed."""
    if not tables:
        return []
    owner, database = place["owner"], place["database"]
    names = ", ".join(f"public.{name}" for name in tables)
    return [
        "BEGIN",
        *([citus.propagate_set(database)] if place["may_alter"] or not place["is_set"] else []),
        *(
            f"ALTER ROLE {owner} IN DATABASE {database} SET {k} = '{v}'"
            for k, v in OWNER_SETTINGS.items()
        ),
        *(f"SET LOCAL {name} = '{value}'" for name, value in OWNER_SETTINGS.items()),
        f"LOCK TABLE {names} IN SHARE ROW EXCLUSIVE MODE",
        *map(citus.distribute, tables),
        "COMMIT",
    ]


async def _refuse(connection: asyncpg.Connection, *, is_there: bool, place: Any) -> None:
    if not is_there:
        raise stop("general database: Citus is not there; CREATE EXTENSION citus is a superuser's")
    without = [row["node"] for row in await connection.fetch(WITHOUT_BYPASSRLS)]
    if without:
        raise stop(
            f"general database: {place['owner']} has no BYPASSRLS on {', '.join(without)}; "
            "run migrations/roles.sql there as an administrator"
        )
    if not (place["may_alter"] or place["is_set"]):
        raise stop(
            "general database: only its own owner may alter it; run migrations/roles.sql there, "
            f"or {citus.propagate_set(place['database'])}, as an administrator"
        )
    if count := await connection.fetchval(CONNECTED):
        raise stop(
            f"general database: the service is connected ({count} connections); stop it, "
            "and start it again afterwards: it asks for Citus when it starts"
        )


async def _execute(connection: asyncpg.Connection, plan: list[str], tables: list[str]) -> None:
    if not plan:
        click.echo("The tables of the general database are distributed.")
        return
    for statement in plan:
        await connection.execute(statement)
        if statement.startswith("LOCK"):
            await _refuse_rows(connection, tables)
    click.echo(f"Distributed by tenant: {', '.join(tables)}.")


async def _refuse_rows(connection: asyncpg.Connection, tables: list[str]) -> None:
    """Raise while the tables are locked, so that no row comes in between."""
    filled = [name for name in tables if await connection.fetchval(citus.has_rows(name))]
    if filled:
        raise stop(
            f"general database: there are rows in {', '.join(filled)}, which nobody would find "
            "again; take them with litestar export, distribute an empty database, and put them "
            "back with litestar import"
        )
