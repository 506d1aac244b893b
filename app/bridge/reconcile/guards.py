"""Finds triggers and constraints that are missing, disabled or not validated, and puts them back.

Any login may look at the catalogue; only the tables' owner may mend. Without the owner's login, or
where it may not, the difference stays, with the statement for the owner to run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import asyncpg
from sqlalchemy import text

from app.bridge.reconcile.differences import Difference, Kind
from app.bridge.reconcile.guard_list import GUARDS, THINGS
from app.bridge.rows import fetch_as
from app.config.settings import Settings, SettingsError
from app.databases.connection import DatabaseName
from app.databases.database import Databases
from app.databases.opening import open_connection

GUARD_KINDS = {Kind.GUARD_MISSING, Kind.GUARD_OFF, Kind.NOT_VALIDATED}

# A foreign key works by triggers of its own, which a superuser may have disabled; a trigger in the
# state 'R' fires on a replica only. The column conenforced exists since PostgreSQL 18.
CATALOGUE = text("""
SELECT tgrelid::regclass::text AS place, tgname AS name, tgenabled IN ('O', 'A') AS is_on,
       true AS is_validated
FROM pg_trigger WHERE NOT tgisinternal
UNION ALL
SELECT conrelid::regclass::text, conname,
       coalesce((to_jsonb(c) ->> 'conenforced')::boolean, true) AND NOT EXISTS (
           SELECT FROM pg_trigger t WHERE t.tgconstraint = c.oid AND t.tgenabled NOT IN ('O', 'A')),
       convalidated
FROM pg_constraint c WHERE connamespace = 'public'::regnamespace AND conrelid <> 0
""")


class Guard(NamedTuple):
    """A trigger or constraint of the catalogue; `place` is its table."""

    place: str
    name: str
    is_on: bool
    is_validated: bool


async def faults(databases: Databases) -> set[Difference]:
    """Look through the catalogues of both databases."""
    found: set[Difference] = set()
    for database in (databases.user, databases.general):
        rows = await fetch_as(Guard, database, CATALOGUE)
        found |= set(_faults(database.name, {(row.place, row.name): row for row in rows}))
    return found


def _faults(database: DatabaseName, rows: dict[tuple[str, str], Guard]) -> Iterator[Difference]:
    for thing, (where, table, name) in THINGS.items():
        row = rows.get((table, name))
        if where != database:
            continue
        if row is None:
            yield Difference(Kind.GUARD_MISSING, thing=thing)
        elif not row.is_on:
            yield Difference(Kind.GUARD_OFF, thing=thing)
        elif not row.is_validated:
            yield Difference(Kind.NOT_VALIDATED, thing=thing)


def cure(fault: Difference) -> tuple[DatabaseName, list[str]]:
    """Return the database and the statements that its owner runs, one by one, to mend this."""
    where, table, name = THINGS[fault.thing or ""]
    how = GUARDS[where][table][name]
    if fault.kind is Kind.NOT_VALIDATED:
        return where, _validation(table, name, how)
    if how.startswith(("BEFORE", "AFTER")):
        enable = f"ALTER TABLE {table} ENABLE TRIGGER {name}"
        return where, [enable if fault.kind is Kind.GUARD_OFF else f"CREATE TRIGGER {name} {how}"]
    # A foreign key's triggers are the server's own, which only a superuser could enable, so the key
    # is made again. It is validated later, when the rows that slipped in are gone.
    drop = f"DROP CONSTRAINT {name}, " * (fault.kind is Kind.GUARD_OFF)
    return where, [f"ALTER TABLE {table} {drop}ADD CONSTRAINT {name} {how} NOT VALID"]


def _validation(table: str, name: str, how: str) -> list[str]:
    """Let the owner see the rows meanwhile: it asks by a query whether the key holds, and FORCE ROW
    LEVEL SECURITY hides all rows from it, so that any key would be found to hold.
    """
    referred = re.findall(r"REFERENCES (\w+)", how)
    tables = sorted({table, *referred}) if referred else []
    return [
        *(f"CREATE POLICY validation ON {one} TO CURRENT_USER USING (true)" for one in tables),
        f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}",
        *(f"DROP POLICY validation ON {one}" for one in tables),
    ]


async def mend(settings: Settings, fault: Difference) -> bool:
    """Run the cure as the owner; False if it may not, or rows stand against the constraint."""
    name, statements = cure(fault)
    try:
        connection = await open_connection(settings, name, owner=True)
    except (OSError, asyncpg.PostgresError, SettingsError):
        return False
    try:
        return all([await _run(connection, statement) for statement in statements])
    finally:
        await connection.close()


async def _run(connection: asyncpg.Connection, statement: str) -> bool:
    try:
        await connection.execute(statement)
    except asyncpg.PostgresError:
        return False
    return True
