"""After an upgrade each login may do what its table says, and nothing else."""

from __future__ import annotations

import pytest
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from pydantic import SecretStr

from app.config.settings import Settings
from app.databases.connection import DatabaseName
from tests.support.grants import ROLES, Login, expected
from tests.support.migrations import Query
from tests.support.servers import Servers

# Whatever anyone but the owner may do with anything of ours; a function's default is EXECUTE for
# PUBLIC, whom the catalogue calls 0.
GRANTED = """
SELECT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END, name, privilege_type
FROM (
    SELECT relname, a.grantee, a.privilege_type
    FROM pg_class c CROSS JOIN aclexplode(c.relacl) a
    WHERE relnamespace = 'public'::regnamespace
    UNION ALL
    SELECT relname, a.grantee, format('%s (%s)', a.privilege_type, attname)
    FROM pg_class c JOIN pg_attribute ON attrelid = c.oid CROSS JOIN aclexplode(attacl) a
    WHERE relnamespace = 'public'::regnamespace
    UNION ALL
    SELECT proname, a.grantee, a.privilege_type
    FROM pg_proc p CROSS JOIN aclexplode(coalesce(proacl, acldefault('f', proowner))) a
    WHERE pronamespace = 'public'::regnamespace
) AS granted (name, grantee, privilege_type)
WHERE grantee <> 'bicameral_owner'::regrole
"""
TABLE = {"user": "users", "general": "messages"}


def _granted(name: DatabaseName, *logins: Login, role: str = "") -> set[tuple[str, str, str]]:
    return {(role or ROLES[one], *grant) for one in logins for grant in expected(name, one)}


def test_the_service_may_do_what_its_table_says(
    config: Config, name: DatabaseName, query: Query
) -> None:
    command.upgrade(config, "head")
    both = _granted(name, "service", "relay", role="bicameral_app")
    assert query(GRANTED) == both | _granted(name, "backup")


def test_each_login_may_do_what_its_own_table_says(
    config: Config, name: DatabaseName, query: Query, empty: Settings, servers: Servers
) -> None:
    config.attributes["settings"] = _with(empty, servers, name, "_relay", "bicameral_relay")
    command.upgrade(config, "head")
    assert query(GRANTED) == _granted(name, "service", "relay", "backup")


def test_an_upgrade_takes_back_what_was_granted_by_hand(
    config: Config, name: DatabaseName, query: Query
) -> None:
    command.upgrade(config, "head")
    before = query(GRANTED)
    query("CREATE FUNCTION leak() RETURNS void LANGUAGE sql AS ''")
    query(f"GRANT ALL ON {TABLE[name]} TO bicameral_app, PUBLIC")
    query(f"GRANT REFERENCES (tenant_id) ON {TABLE[name]} TO bicameral_app")
    assert len(query(GRANTED)) > len(before)
    command.upgrade(config, "head")
    assert query(GRANTED) == before


def test_an_owner_that_runs_the_service_too_keeps_what_it_has(
    config: Config, name: DatabaseName, query: Query, empty: Settings, servers: Servers
) -> None:
    config.attributes["settings"] = _with(empty, servers, name, "", "bicameral_owner")
    command.upgrade(config, "head")
    assert query(GRANTED) == _granted(name, "backup")
    query(f"SELECT FROM {TABLE[name]}")


def test_a_login_that_does_not_exist_stops_the_upgrade_before_it_begins(
    config: Config, name: DatabaseName, query: Query, empty: Settings, servers: Servers
) -> None:
    config.attributes["settings"] = _with(empty, servers, name, "", 'no "one"')
    with pytest.raises(CommandError) as failure:
        command.upgrade(config, "head")
    variable = f"DATABASE_URL_{name.upper()}"
    words = f'{name} database: {variable}: its role "no "one"" does not exist; create it first'
    assert str(failure.value) == words
    assert not query("SELECT FROM pg_class WHERE relname = 'alembic_version'")


def _with(
    settings: Settings, servers: Servers, name: DatabaseName, login: str, role: str
) -> Settings:
    database = settings.url(name).database
    server = servers.user if name == "user" else servers.general
    url = SecretStr(server.url(database, role))
    return settings.model_copy(update={f"database_url_{name}{login}": url})
