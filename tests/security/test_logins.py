"""roles.sql takes from a database and its server what no login needs, and no login gets round it.

The rights are written down here once more. What a login is refused stands beside what it may do.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from app.commands.dev import ROLES, create_database
from tests.support.grants import ROLES as LOGINS
from tests.support.logins import superuser as connected
from tests.support.servers import Servers, numbers, run

NAMES = [*LOGINS.values(), "bicameral_owner"]
DATABASE = """
SELECT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END, privilege_type
FROM pg_database CROSS JOIN aclexplode(datacl)
WHERE datname = current_database() AND grantee <> datdba
"""
SCHEMA = """
SELECT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END, privilege_type
FROM pg_namespace CROSS JOIN aclexplode(nspacl) WHERE nspname = 'public' AND grantee <> nspowner
"""
ATTRIBUTES = """
SELECT rolname, rolcanlogin, rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls
FROM pg_roles WHERE rolname LIKE 'bicameral%'
"""
DEFAULTS = """
SELECT defaclrole::regrole::text, defaclnamespace, defaclobjtype, defaclacl::text
FROM pg_default_acl
"""
WRITTEN = """
SELECT proname FROM pg_proc
WHERE pronamespace = 'pg_catalog'::regnamespace AND proname IN {names}
AND has_function_privilege($1, oid, 'EXECUTE')
"""
# What reads or writes outside of the tables, and is PUBLIC's in no or in every new database.
REACHING = """
('lo_creat', 'lo_create', 'lo_from_bytea', 'lo_import', 'lo_export', 'pg_read_file',
 'pg_read_binary_file', 'pg_ls_dir', 'pg_stat_file', 'pg_reload_conf', 'pg_rotate_logfile',
 'pg_create_restore_point', 'pg_switch_wal', 'pg_backup_start', 'pg_hba_file_rules',
 'pg_show_all_file_settings', 'pg_promote', 'pg_replication_origin_create')
"""
REFUSED = [
    "SET session_replication_role = replica",
    "SET SESSION AUTHORIZATION postgres",
    "SET ROLE postgres",
    "ALTER SYSTEM SET fsync = off",
    "CREATE TABLE public.mine (id int)",
    "CREATE TEMPORARY TABLE mine (id int)",
    "CREATE FUNCTION public.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE SCHEMA mine",
    "CREATE ROLE mine",
    "CREATE DATABASE mine",
    "DROP EXTENSION plpgsql",
    "CREATE PUBLICATION mine",
    "CREATE EVENT TRIGGER mine ON ddl_command_start EXECUTE FUNCTION suppress()",
    "COPY (SELECT 1) TO PROGRAM 'true'",
    "COPY (SELECT 1) TO '/tmp/mine'",
    "SELECT lo_create(0)",
    "SELECT lo_from_bytea(0, 'x')",
    "SELECT lo_import('/etc/hostname')",
    "SELECT pg_read_file('/etc/hostname')",
    "SELECT pg_ls_dir('.')",
    "SELECT rolpassword FROM pg_authid",
    "SELECT subconninfo FROM pg_subscription",
    "SELECT * FROM pg_largeobject",
    "ALTER DATABASE {database} SET row_security = off",
    "ALTER ROLE {own} BYPASSRLS",
    "ALTER ROLE {own} SUPERUSER",
    "ALTER ROLE {own} VALID UNTIL '2000-01-01'",
    "ALTER ROLE {own} SET app.tenant_id = '00000000-0000-0000-0000-000000000000'",
    "ALTER ROLE {other} PASSWORD 'mine'",
    "GRANT {other} TO {own}",
]
# The owner makes tables and functions in the schema `public`: that is its work.
OWNERS = {"CREATE TABLE public.mine (id int)"} | {
    one for one in REFUSED if "FUNCTION public" in one
}


@pytest.fixture
async def fresh(servers: Servers) -> AsyncIterator[str]:
    """Give the name of a database of the user server that has seen roles.sql and nothing else."""
    name = f"fresh_{next(numbers)}"
    await create_database(servers.user, name)
    yield name
    await run(servers.user, f"DROP DATABASE {name} WITH (FORCE)")


async def _rows(servers: Servers, database: str, query: str, *values: Any) -> set[tuple[Any, ...]]:
    async with connected(servers.user.url(database)) as sql:
        return {tuple(row) for row in await sql.fetch(query, *values)}


async def test_who_may_connect_and_make_what(servers: Servers, fresh: str) -> None:
    assert await _rows(servers, fresh, DATABASE) == {(name, "CONNECT") for name in NAMES}
    assert await _rows(servers, fresh, SCHEMA) == {
        ("PUBLIC", "USAGE"),
        *((name, "USAGE") for name in NAMES),
        ("bicameral_owner", "CREATE"),
    }


async def test_what_the_logins_are(servers: Servers, fresh: str) -> None:
    assert await _rows(servers, fresh, ATTRIBUTES) == {
        (name, True, False, False, False, False, name == "bicameral_backup") for name in NAMES
    }


@pytest.mark.parametrize("role", NAMES)
async def test_a_login_connects_to_no_database_but_its_own(
    servers: Servers, fresh: str, role: str
) -> None:
    for other in ("postgres", "template1"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied for datab"):
            await asyncpg.connect(servers.user.url(other, role))
    async with connected(servers.user.url(fresh, role)) as sql:
        assert await sql.fetchval("SELECT 1") == 1


async def test_somebody_elses_open_database_is_left_alone_and_named(
    servers: Servers, fresh: str
) -> None:
    await run(servers.user, "CREATE DATABASE theirs")
    heard: list[str] = []
    async with connected(servers.user.url(fresh)) as sql:
        sql.add_log_listener(lambda _, message: heard.append(str(message)))
        await sql.execute(ROLES.read_text())
        open_to_all = "SELECT has_database_privilege('public', 'theirs', 'CONNECT')"
        assert await sql.fetchval(open_to_all) is True
    await run(servers.user, "DROP DATABASE theirs")
    assert any("REVOKE CONNECT ON DATABASE theirs FROM PUBLIC" in line for line in heard)


@pytest.mark.parametrize("role", NAMES)
async def test_nothing_of_the_server_is_within_reach(
    servers: Servers, fresh: str, role: str
) -> None:
    assert await _rows(servers, fresh, WRITTEN.format(names=REACHING), role) == set()
    assert len(await _rows(servers, fresh, WRITTEN.format(names=REACHING), "postgres")) > 15
    names = {"own": role, "other": next(one for one in NAMES if one != role), "database": fresh}
    async with connected(servers.user.url(fresh, role)) as sql:
        await sql.execute("SET default_transaction_read_only = off")  # the backup's is a default
        for statement in REFUSED:
            if role == "bicameral_owner" and statement in OWNERS:
                continue
            with pytest.raises(asyncpg.PostgresError) as refused:
                await sql.execute(statement.format(**names))
            assert refused.value.sqlstate == "42501", (statement, refused.value)


async def test_what_a_login_may_do_all_the_same(servers: Servers, fresh: str) -> None:
    """PostgreSQL lets every role change its own password and defaults; roles.sql says so."""
    async with connected(servers.user.url(fresh, "bicameral_app")) as sql:
        await sql.execute("ALTER ROLE bicameral_app PASSWORD 'another'")
        await sql.execute("ALTER ROLE bicameral_app SET work_mem = '5MB'")
        await sql.execute("ALTER ROLE bicameral_app RESET ALL")
        await sql.execute("ALTER ROLE bicameral_app PASSWORD NULL")


async def test_the_owner_makes_functions_for_nobody_else(servers: Servers, template: str) -> None:
    """Nobody may call one from the moment a revision makes it until its grants are applied."""
    for server in servers:
        async with connected(server.url(template)) as sql:
            found = {tuple(row) for row in await sql.fetch(DEFAULTS)}
        owner = "bicameral_owner"
        assert found == {(owner, 0, b"f", f"{{{owner}=X/{owner}}}")}
