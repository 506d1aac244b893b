"""The service does not start on settings or logins that would make its promises void."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from app.commands.embedded.cluster import Server
from app.config.settings import SettingsError
from app.databases.database import Databases
from app.server import create_app
from tests.support.callers import client_of
from tests.support.commands import litestar, urls
from tests.support.log_lines import events
from tests.support.servers import Servers, alive, run, settings_for
from tests.support.wire import PATIENCE_SECONDS

ROLES = {
    "unsafe_bypass": ("BYPASSRLS", "the login is BYPASSRLS"),
    "unsafe_super": ("SUPERUSER", "the login is a superuser"),
    "unsafe_heir": ("IN ROLE unsafe_bypass", "the login is BYPASSRLS"),
    "unsafe_owner": ("IN ROLE bicameral_owner", "the login owns the tables"),
}


OURS = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'bicameral' AND usename = $1
"""


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


@pytest.mark.parametrize("role", [*ROLES, "bicameral_owner", "bicameral_backup", "postgres"])
@pytest.mark.parametrize("name", ["user", "general", "general_read"])
async def test_an_unsafe_login_is_refused(
    servers: Servers, database: str, unsafe: None, role: str, name: str
) -> None:
    """Each database refuses it on its own, and also for what the login could become."""
    await _grant(servers, database)
    variable = f"database_url_{name}"
    server: Server = servers.user if name == "user" else servers.general
    url = server.url(database, role)
    databases = Databases.create(settings_for(servers, database, **{variable: url}))
    with pytest.raises(SettingsError):
        await databases.check()
    with pytest.raises(SettingsError) as refused:  # the second connection is looked at as well
        await databases.check()
    known = {"bicameral_owner": ROLES["unsafe_owner"], "postgres": ROLES["unsafe_super"]}
    known["bicameral_backup"] = ROLES["unsafe_bypass"]
    _, reason = (ROLES | known)[role]
    assert str(refused.value).startswith(f"{variable.upper()}: {reason}")
    await _gone(server, database, role)
    await databases.dispose()
    await _revoke(servers, database)


async def _gone(server: Server, database: str, role: str) -> None:
    """Its connection. The server may take a moment to notice that it was closed."""
    connection = await asyncpg.connect(server.url(database))
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await connection.fetchval(OURS, role):
            pass  # each question is a round trip, so this is no busy loop
    await connection.close()


async def test_a_database_away_does_not_stop_the_start(
    servers: Servers, database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = "postgresql://bicameral_app@127.0.0.1:1/nowhere"
    app = create_app(settings_for(servers, database, database_url_general=nowhere))
    async with alive(app), client_of(app, None) as http:
        health = (await http.get("/health")).json()["databases"]
        assert health == {"user": "connected", "general": "disconnected"}
        assert (await http.get("/v1/me")).status_code == 401
    [line] = events(capsys.readouterr().err, "database_away")
    assert (line["database"], line["reason"]) == ("general", "nothing listens there")


async def test_a_safe_login_is_accepted(servers: Servers, database: str) -> None:
    databases = Databases.create(settings_for(servers, database))
    await databases.check()
    for one in (databases.user, databases.general):
        assert one.pool.usage().idle == 1
        await one.dispose()


async def test_what_would_never_connect_is_refused_and_told_from_an_outage(
    servers: Servers, database: str
) -> None:
    """Each is a file or an option that is there, and is not what it should be."""
    here = Path(__file__)
    socket = servers.user.url(database, "bicameral_app")
    nowhere = "postgresql://bicameral_app@127.0.0.1:1/nowhere"
    for url, words in {
        f"{socket}&options=-csearch_path%3Dx": "search_path leaves out `public`",
        f"{nowhere}?sslmode=verify-ca&sslrootcert={here}": "a file of sslrootcert, sslcrl, ",
        f"{nowhere}?sslmode=require&sslcert={here}": "a file of sslrootcert, sslcrl, ",
    }.items():
        databases = Databases.create(settings_for(servers, database, database_url_user=url))
        with pytest.raises(SettingsError, match=f"^DATABASE_URL_USER: {words}"):
            await databases.check()
        await databases.dispose()


async def test_litestar_run_refuses_bad_settings_in_one_line(
    servers: Servers, database: str
) -> None:
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


async def test_litestar_relay_refuses_an_unsafe_login_in_one_line(
    servers: Servers, database: str
) -> None:
    env = urls(servers, database) | {"DATABASE_URL_USER": servers.user.url(database)}
    ended = await litestar("relay", env=env)
    assert (ended.code, ended.out) == (1, "")
    assert ended.line.startswith("bicameral: DATABASE_URL_USER: the login is a superuser")
