"""The two databases themselves say who may do what."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from app.commands.dev import create_database
from app.commands.migrate import upgrade
from app.databases.connection import DATABASES, DatabaseName
from tests.support.grants import ROLES, Login, expected
from tests.support.servers import Servers, settings_for

RELAY = "bicameral_relay"
LOGINS: tuple[Login, ...] = ("service", "relay")
# Nobody's tenant's: reached through functions, or only read.
WITHOUT_TENANT = {
    "user": {
        *("alembic_version", "digest_keys", "heartbeats", "login_throttles"),
        *("master_keys", "sealing"),
    },
    "general": {"alembic_version", "heartbeats"},
}
TENANT = "NULLIF(current_setting('app.tenant_id'::text, true), ''::text))::uuid)"
ACROSS = "(CURRENT_USER <> SESSION_USER)"

TABLES = """
SELECT c.relname, c.relrowsecurity AND c.relforcerowsecurity AS forced
FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
"""
POLICIES = """
SELECT c.relname, p.polname, p.polcmd, p.polpermissive, p.polroles::regrole[]::text[] AS roles,
       pg_get_expr(p.polqual, p.polrelid) AS using,
       pg_get_expr(p.polwithcheck, p.polrelid) AS check
FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid
"""
UNIQUE = """
SELECT i.indexrelid::regclass::text AS name, a.attname AS first
FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
WHERE i.indisunique AND c.relnamespace = 'public'::regnamespace AND c.relname <> 'alembic_version'
"""
GRANTS = """
SELECT c.relname AS name, a.privilege_type AS privilege
FROM pg_class c, aclexplode(c.relacl) a
WHERE c.relnamespace = 'public'::regnamespace AND a.grantee = $1
UNION ALL
SELECT c.relname, a.privilege_type || ' (' || t.attname || ')'
FROM pg_attribute t JOIN pg_class c ON c.oid = t.attrelid, aclexplode(t.attacl) a
WHERE c.relnamespace = 'public'::regnamespace AND a.grantee = $1
UNION ALL
SELECT p.proname, a.privilege_type
FROM pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
WHERE p.pronamespace = 'public'::regnamespace AND a.grantee = $1
"""
FUNCTIONS = """
SELECT p.proname AS name, p.proconfig AS config, p.proowner::regrole::text AS owner,
       p.prosecdef AS is_definer, p.prorettype = 'trigger'::regtype AS is_trigger
FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace
AND (p.prosecdef OR p.prorettype <> 'trigger'::regtype)
"""
# The hot routes' own, in which row level security holds as for their caller, and what reads no
# table.
NAMES = """
audit_id lock_receipts link_receipt receipt_hash find_session open_session find_or_open_session
fork_session message_of edit_message item_place store_items read_items read_item chat_session_of
lock_fork stored_messages forget_key is_sealed get_session begin_session find_or_begin_session
get_message list_messages list_messages_by_bytes write_message write_messages change_message
list_items get_item write_items write_answer check_write_under export_parts message_page
small_message_page message_page_by_bytes read_messages read_messages_by_bytes append_message
append_messages open_chat_session add_message add_messages store_message store_messages
delete_messages check_overwrite forget_answers keep_answer store_answer check_write
export_messages export_page fold_case username_key email_key ascii_domain punycode
"""
OF_THE_CALLER = set(NAMES.split())
# A page of these follows an index, whatever the planner takes it for.
IN_ORDER = ["enable_sort=off", "enable_bitmapscan=off"]
PLANNED = {
    "platform_audit_page": IN_ORDER,
    "platform_audit_events": IN_ORDER,
    "person_audit_events": IN_ORDER,
    "exported_audit_events": IN_ORDER,
}
OWNED = "SELECT count(*) FROM pg_shdepend WHERE refobjid = $1::regrole AND deptype = 'o'"
MIGHT = """
SELECT rolname FROM pg_roles
WHERE pg_has_role($1, oid, 'MEMBER')
AND (rolname <> $1 OR rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication)
"""


@pytest.fixture(scope="module")
async def deployed(servers: Servers) -> str:
    """Migrated as for production, where the relay has a login of its own."""
    name = "deployed"
    relay = {f"database_url_{n}_relay": getattr(servers, n).url(name, RELAY) for n in DATABASES}
    for one, server in zip(DATABASES, servers, strict=True):
        await create_database(server, name)
        upgrade(settings_for(servers, name, **relay), one)
    return name


@pytest.fixture(params=DATABASES)
async def catalogue(
    request: pytest.FixtureRequest, servers: Servers, deployed: str
) -> AsyncIterator[tuple[DatabaseName, asyncpg.Connection]]:
    """A look as superuser."""
    connection = await asyncpg.connect(getattr(servers, request.param).url(deployed))
    try:
        yield request.param, connection
    finally:
        await connection.close()


Catalogue = tuple[DatabaseName, asyncpg.Connection]


async def test_every_table_of_a_tenant_is_kept_apart(catalogue: Catalogue) -> None:
    name, connection = catalogue
    tables = {row["relname"]: row["forced"] for row in await connection.fetch(TABLES)}
    assert WITHOUT_TENANT[name] <= set(tables)
    apart = set(tables) - WITHOUT_TENANT[name]
    assert [table for table in apart if not tables[table]] == []
    policies = await connection.fetch(POLICIES)
    assert {p["relname"] for p in policies if p["polname"] == "tenant"} == apart


async def test_a_policy_lets_the_tenant_through_or_the_owners_functions(
    catalogue: Catalogue,
) -> None:
    """One more permissive policy, on any table, would undo all others."""
    for policy in await catalogue[1].fetch(POLICIES):
        where = f"{policy['relname']}: {policy['polname']}"
        assert policy["polcmd"] == b"*", where
        assert policy["check"] == policy["using"], where
        if policy["polname"] == "tenant":
            column = "id" if policy["relname"] == "tenants" else "tenant_id"
            assert policy["using"] == f"({column} = ({TENANT}", where
        else:
            assert policy["using"] == ACROSS, where
            assert policy["roles"] == ["bicameral_owner"], where


async def test_every_unique_key_of_the_general_database_is_led_by_the_tenant(
    servers: Servers, template: str
) -> None:
    connection = await asyncpg.connect(servers.general.url(template))
    keys = {row["name"]: row["first"] for row in await connection.fetch(UNIQUE)}
    await connection.close()
    assert len(keys) >= 5
    assert [key for key, first in keys.items() if first != "tenant_id"] == []


@pytest.mark.parametrize("role", [ROLES[login] for login in LOGINS])
async def test_a_login_owns_nothing_and_can_become_nobody(catalogue: Catalogue, role: str) -> None:
    assert await catalogue[1].fetchval(OWNED, role) == 0
    assert await catalogue[1].fetch(MIGHT, role) == []


@pytest.mark.parametrize("login", ROLES)
async def test_a_login_has_exactly_the_privileges_of_the_list(
    catalogue: Catalogue, login: Login
) -> None:
    name, connection = catalogue
    oid = await connection.fetchval("SELECT $1::regrole::oid", ROLES[login])
    assert await _grants(connection, oid) == expected(name, login)


async def test_without_a_relays_login_the_service_has_both_lists(
    servers: Servers, template: str
) -> None:
    for name in DATABASES:
        connection = await asyncpg.connect(getattr(servers, name).url(template))
        oid = await connection.fetchval("SELECT 'bicameral_app'::regrole::oid")
        assert await _grants(connection, oid) == expected(name, "service", "relay")
        await connection.close()


async def test_public_has_nothing(catalogue: Catalogue) -> None:
    assert await _grants(catalogue[1], 0) == set()
    create = "SELECT has_schema_privilege('bicameral_app', 'public', 'CREATE')"
    assert await catalogue[1].fetchval(create) is False


async def _grants(connection: asyncpg.Connection, oid: Any) -> set[tuple[str, str]]:
    return {(row["name"], row["privilege"]) for row in await connection.fetch(GRANTS, oid)}


async def test_definer_functions_are_the_ones_listed_pinned_and_the_owners(
    catalogue: Catalogue,
) -> None:
    name, connection = catalogue
    functions = await connection.fetch(FUNCTIONS)
    for function in functions:
        assert function["is_definer"] == (function["name"] not in OF_THE_CALLER)
        if not function["is_definer"]:
            continue
        assert function["owner"] == "bicameral_owner", function["name"]
        config = ["search_path=public, pg_temp", *PLANNED.get(function["name"], [])]
        assert function["config"] == config, function["name"]
    listed = {thing for thing, what in expected(name, "service", "relay") if what == "EXECUTE"}
    assert {f["name"] for f in functions if not f["is_trigger"]} == listed
