"""A list of hosts leads to the one that takes us, however the others fail."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator

import asyncpg
import pytest
from alembic.util import CommandError

from app.commands.migrate import upgrade
from app.config.settings import SettingsError
from app.databases.database import Databases
from app.databases.opening import open_connection
from tests.support.commands import litestar
from tests.support.servers import Servers, run, settings_for
from tests.support.service import environment

SECONDS = 0.5
NOWHERE = "127.0.0.1:1"


@pytest.fixture
def silent() -> Iterator[str]:
    """The host that takes connections, as a frozen machine's kernel does, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"


def url(servers: Servers, database: str, role: str, *before: str, more: str = "") -> str:
    hosts = ",".join([*before, f"127.0.0.1:{servers.user.port}"])
    return f"postgresql://{role}@{hosts}/{database}{more}"


async def test_a_silent_host_costs_its_own_time_once(
    servers: Servers, database: str, silent: str
) -> None:
    settings = settings_for(
        servers,
        database,
        database_url_user=url(servers, database, "bicameral_app", NOWHERE, silent),
        db_connect_timeout_seconds=SECONDS,
    )
    for limit in (2 * SECONDS + 1, SECONDS):
        began = time.monotonic()
        connection = await open_connection(settings, "user")
        assert await connection.fetchval("SELECT 1") == 1
        await connection.close()
        assert time.monotonic() - began < limit


async def test_the_host_must_be_of_the_kind_that_is_asked_for(
    servers: Servers, database: str, silent: str
) -> None:
    more = "?target_session_attrs=standby"
    alone = url(servers, database, "bicameral_app", NOWHERE, silent, more=more)
    near: dict[str, object] = {"database_url_user": alone, "db_connect_timeout_seconds": SECONDS}
    with pytest.raises(asyncpg.TargetServerAttributeNotMatched):
        await open_connection(settings_for(servers, database, **near), "user")
    preferring = alone.replace("=standby", "=prefer-standby")
    settings = settings_for(servers, database, **near | {"database_url_user": preferring})
    await (await open_connection(settings, "user")).close()


async def test_migrations_find_the_host_too(servers: Servers, database: str, silent: str) -> None:
    owner = url(servers, database, "bicameral_owner", silent)
    near: dict[str, object] = {"database_url_user_owner": owner}
    settings = settings_for(servers, database, db_connect_timeout_seconds=SECONDS, **near)
    await asyncio.to_thread(upgrade, settings, "user")


@pytest.mark.parametrize(
    ("name", "more", "words"),
    [
        ("nowhere", "", "there is no such database on the server"),
        ("{database}", "?options=-c%20nothing%3D1", "the server knows no such parameter"),
    ],
)
async def test_what_the_server_refuses_stops_the_start(
    servers: Servers, database: str, name: str, more: str, words: str
) -> None:
    settings = settings_for(
        servers,
        database,
        database_url_user=url(servers, name.format(database=database), "bicameral_app", more=more),
    )
    databases = Databases.create(settings)
    with pytest.raises(SettingsError, match=f"DATABASE_URL_USER: {words}"):
        await databases.check()
    await databases.dispose()


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
async def test_a_database_that_is_not_utf8_is_refused(
    servers: Servers, database: str, encoding: str
) -> None:
    name = f"{database}_{encoding.lower()}"
    made = f"CREATE DATABASE {name} ENCODING '{encoding}' TEMPLATE template0 LOCALE 'C'"
    await run(servers.user, f"{made} LOCALE_PROVIDER libc")
    try:
        at = url(servers, name, "bicameral_app")
        owner = url(servers, name, "bicameral_owner")
        settings = settings_for(
            servers, database, database_url_user=at, database_url_user_owner=owner
        )
        databases = Databases.create(settings)
        with pytest.raises(SettingsError, match=f"encoding is {encoding}; make one in UTF8"):
            await databases.check()
        await databases.dispose()
        with pytest.raises(CommandError, match=f"encoding is {encoding}; make one in UTF8"):
            await asyncio.to_thread(upgrade, settings, "user")
        ended = await litestar("database", "upgrade", env=environment(settings))
        refusal = f"user database: the database's encoding is {encoding}; make one in UTF8"
        assert ended.code == 1
        said = ended.err.splitlines()[-1]
        assert said == f"bicameral: {refusal}; the general database was left alone"
    finally:
        await run(servers.user, f"DROP DATABASE {name} WITH (FORCE)")
