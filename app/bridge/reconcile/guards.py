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
from app.bridge.rows import fetch_as
from app.config.settings import Settings, SettingsError
from app.databases.connection import DatabaseName
from app.databases.database import Databases
from app.databases.opening import open_connection

GUARD_KINDS = {Kind.GUARD_MISSING, Kind.GUARD_OFF, Kind.NOT_VALIDATED}

OF_A_USER = "FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id) ON DELETE CASCADE"

# By database and table: the name of each, and the text that makes it.
GUARDS: dict[DatabaseName, dict[str, dict[str, str]]] = {
    "user": {
        "users": {
            "keep_subject_ledger": "AFTER INSERT OR DELETE ON users FOR EACH ROW"
            " EXECUTE FUNCTION keep_subject_ledger()",
            "refuse_users_move": "BEFORE UPDATE OF id, tenant_id ON users FOR EACH ROW"
            " WHEN (OLD.id <> NEW.id OR OLD.tenant_id <> NEW.tenant_id)"
            " EXECUTE FUNCTION refuse_ledger_change()",
            "refuse_users_truncate": "BEFORE TRUNCATE ON users"
            " FOR EACH STATEMENT EXECUTE FUNCTION refuse_ledger_change()",
            "fill_user_keys": "BEFORE INSERT OR UPDATE OF username, email, username_key, email_key"
            " ON users FOR EACH ROW EXECUTE FUNCTION fill_user_keys()",
            "fk_users_tenant_id_tenants": "FOREIGN KEY (tenant_id) REFERENCES tenants (id)"
            " ON DELETE CASCADE",
        },
        "subject_ledger": {
            "refuse_ledger_truncate": "BEFORE TRUNCATE ON subject_ledger"
            " FOR EACH STATEMENT EXECUTE FUNCTION refuse_ledger_change()",
            "refuse_ledger_delete": "BEFORE DELETE ON subject_ledger"
            " FOR EACH ROW EXECUTE FUNCTION refuse_ledger_change()",
            "refuse_ledger_return": "BEFORE UPDATE ON subject_ledger FOR EACH ROW"
            " WHEN (OLD.state = 'deleted' AND NEW.state <> 'deleted' OR NEW.rev < OLD.rev)"
            " EXECUTE FUNCTION refuse_ledger_change()",
            "ck_subject_ledger_state": "CHECK (state IN ('present', 'deleted'))",
        },
        "access_tokens": {
            "fk_access_tokens_user_id_users": OF_A_USER,
        },
        "user_blocks": {
            "fk_user_blocks_user_id_users": OF_A_USER,
        },
        "holds": {
            "fk_holds_user_id_users": "FOREIGN KEY (tenant_id, user_id)"
            " REFERENCES users (tenant_id, id) ON DELETE RESTRICT",
            "keep_hold_ledger": "AFTER INSERT OR DELETE ON holds"
            " FOR EACH ROW EXECUTE FUNCTION keep_hold_ledger()",
            "refuse_holds_truncate": "BEFORE TRUNCATE ON holds"
            " FOR EACH STATEMENT EXECUTE FUNCTION refuse_ledger_change()",
        },
        "user_idempotency_keys": {
            "fk_user_idempotency_keys_user_id_users": OF_A_USER,
            "fk_user_idempotency_keys_about_id_users": "FOREIGN KEY (about_id)"
            " REFERENCES users (id) ON DELETE SET NULL",
            "forget_answer": "BEFORE UPDATE OF about_id ON user_idempotency_keys FOR EACH ROW"
            " WHEN (NEW.about_id IS NULL) EXECUTE FUNCTION forget_answer()",
        },
    },
    "general": {
        "owners": {
            "keep_owner_forward": "BEFORE UPDATE OR DELETE ON owners"
            " FOR EACH ROW EXECUTE FUNCTION keep_owner_forward()",
            "keep_owner_key": "BEFORE UPDATE OF key_id ON owners"
            " FOR EACH ROW EXECUTE FUNCTION keep_owner_key()",
            "refuse_owners_truncate": "BEFORE TRUNCATE ON owners"
            " FOR EACH STATEMENT EXECUTE FUNCTION keep_owner_forward()",
            "ck_owners_state": "CHECK (state IN ('open', 'closed', 'erased'))",
        },
        "chat_sessions": {
            "make_owner": "BEFORE INSERT ON chat_sessions"
            " FOR EACH ROW EXECUTE FUNCTION make_owner()",
            "owner_is_open": "AFTER INSERT OR UPDATE OF tenant_id, user_id ON chat_sessions"
            " FOR EACH ROW EXECUTE FUNCTION owner_is_open()",
            "keep_held": "BEFORE DELETE ON chat_sessions FOR EACH ROW EXECUTE FUNCTION keep_held()",
            "fk_chat_sessions_tenant_id_owners": "FOREIGN KEY (tenant_id, user_id)"
            " REFERENCES owners (tenant_id, user_id)",
        },
        "messages": {
            "fk_messages_tenant_id_chat_sessions": "FOREIGN KEY (tenant_id, session_id)"
            " REFERENCES chat_sessions (tenant_id, id) ON DELETE CASCADE",
        },
        "general_idempotency_keys": {
            "owner_is_open": "AFTER INSERT OR UPDATE OF tenant_id, user_id"
            " ON general_idempotency_keys FOR EACH ROW EXECUTE FUNCTION owner_is_open()",
            "fk_general_idempotency_keys_tenant_id_owners": "FOREIGN KEY (tenant_id, user_id)"
            " REFERENCES owners (tenant_id, user_id)",
            "fk_general_idempotency_keys_tenant_id_chat_sessions": "FOREIGN KEY"
            " (tenant_id, about_id) REFERENCES chat_sessions (tenant_id, id) ON DELETE CASCADE",
        },
        "erasure_receipts": {
            "refuse_receipt_change": "BEFORE UPDATE OR DELETE ON erasure_receipts"
            " FOR EACH ROW EXECUTE FUNCTION refuse_receipt_change()",
            "refuse_receipt_truncate": "BEFORE TRUNCATE ON erasure_receipts"
            " FOR EACH STATEMENT EXECUTE FUNCTION refuse_receipt_change()",
            "ck_erasure_receipts_remaining": "CHECK (remaining = 0)",
        },
    },
}

# From the words of a difference to the guard's database, table and name.
THINGS: dict[str, tuple[DatabaseName, str, str]] = {
    f"{name} on {table} in the {database} database": (database, table, name)
    for database, tables in GUARDS.items()
    for table, guards in tables.items()
    for name in guards
}

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
