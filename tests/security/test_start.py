"""The service does not start on settings or logins that would make its promises void."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from app.db import Databases
from app.settings import SettingsError
from tests.commands import litestar, urls
from tests.conftest import Servers, run, settings_for

ROLES = {
    "unsafe_bypass": ("BYPASSRLS", "the login is BYPASSRLS"),
    "unsafe_super": ("SUPERUSER", "the login is a superuser"),
    "unsafe_heir": ("IN ROLE unsafe_bypass", "the login is BYPASSRLS"),
    "unsafe_owner": ("IN ROLE bicameral_owner", "the login owns the tables"),
}


@pytest.fixture(scope="module")
async def unsafe(servers: Servers) -> AsyncIterator[None]:
    for server in servers:
        for role, (attributes, _) in ROLES.items():
            await run(server, f"CREATE ROLE {role} LOGIN {attributes}")
    yield
    for server in servers:
        for role in ROLES:
            await run(server, f"DROP ROLE {role}")


async def _grant(servers: Servers, database: str) -> None:
    for server in servers:
        for role in ROLES:
            await run(server, f"GRANT CONNECT ON DATABASE {database} TO {role}")


async def _revoke(servers: Servers, database: str) -> None:
    for server in servers:
        for role in ROLES:
            await run(server, f"REVOKE ALL ON DATABASE {database} FROM {role}")


@pytest.mark.parametrize("role", [*ROLES, "bicameral_owner", "postgres"])
@pytest.mark.parametrize("name", ["user", "general"])
async def test_an_unsafe_login_is_refused(
    servers: Servers, database: str, unsafe: None, role: str, name: str
) -> None:
    """In each database on its own, and also for what the login could become."""
    await _grant(servers, database)
    variable = f"database_url_{name}"
    url = getattr(servers, name).url(database, role)
    databases = Databases.create(settings_for(servers, database, **{variable: url}))
    with pytest.raises(SettingsError) as refused:
        await databases.check()
    known = {"bicameral_owner": ROLES["unsafe_owner"], "postgres": ROLES["unsafe_super"]}
    _, reason = (ROLES | known)[role]
    assert str(refused.value).startswith(f"{variable.upper()}: {reason}")
    for one in (databases.user, databases.general):
        await one.dispose()
    await _revoke(servers, database)


async def test_a_safe_login_is_accepted(servers: Servers, database: str) -> None:
    databases = Databases.create(settings_for(servers, database))
    await databases.check()
    for one in (databases.user, databases.general):
        assert one.engine.pool.checkedin() == 1  # type: ignore[attr-defined]  # a queue pool
        await one.dispose()


async def test_run_stops_with_one_line(servers: Servers, database: str) -> None:
    good = urls(servers, database)
    user, general = good["DATABASE_URL_USER"], good["DATABASE_URL_GENERAL"]
    for env, start in {
        (("DATABASE_URL_USER", servers.user.url(database)),): "DATABASE_URL_USER: the login is a",
        (("DATABASE_URL_GENERAL", user),): "DATABASE_URL_USER and DATABASE_URL_GENERAL name the",
        (("DATABASE_URL_USER", ""),): "DATABASE_URL_USER is not set",
        (("DB_POOL_SIZE", "many"),): "DB_POOL_SIZE: ",
        (("DB_POLL_SIZE", "5"),): "DB_POLL_SIZE is not a setting; did you mean DB_POOL_SIZE?",
    }.items():
        ended = await litestar("run", "--port", "0", env=good | dict(env))
        assert ended.code == 1, (env, ended)
        assert ended.line.startswith(f"bicameral: {start}"), ended.err
        assert user not in ended.err
        assert general not in ended.err
