"""A server that refuses the service: a password rotated, a login locked, a database renamed, full.

What its connections could do before is cut first, as an operator or a restart would.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import asyncpg
import pytest

from app.bridge.erasure.relay import AwayError
from app.commands.embedded.cluster import Server
from tests.support import pgbouncer
from tests.support.erasure_scene import open_scene
from tests.support.factories import PASSWORD, a_message, a_session
from tests.support.logins import try_login
from tests.support.servers import Servers, run
from tests.support.wire import Service, bounded, refused, service

CUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}'"
LOGIN = "bicameral_app"
SCRAM = "host {} bicameral_app 127.0.0.1/32 scram-sha-256\n"
Refusal = Callable[[Server, str], AbstractAsyncContextManager[None]]

pytestmark = pgbouncer.only_directly("PgBouncer has a login of its own, and caches refusals")


@asynccontextmanager
async def another_password(server: Server, _: str) -> AsyncGenerator[None]:
    await run(server, f"ALTER ROLE {LOGIN} PASSWORD 'second'")
    try:
        yield
    finally:
        await run(server, f"ALTER ROLE {LOGIN} PASSWORD 'first'")


@asynccontextmanager
async def no_login(server: Server, _: str) -> AsyncGenerator[None]:
    await run(server, f"ALTER ROLE {LOGIN} NOLOGIN")
    try:
        yield
    finally:
        await run(server, f"ALTER ROLE {LOGIN} LOGIN")


@asynccontextmanager
async def no_connection_left(server: Server, _: str) -> AsyncGenerator[None]:
    await run(server, f"ALTER ROLE {LOGIN} CONNECTION LIMIT 0")
    try:
        yield
    finally:
        await run(server, f"ALTER ROLE {LOGIN} CONNECTION LIMIT -1")


@asynccontextmanager
async def another_name(server: Server, database: str) -> AsyncGenerator[None]:
    await run(server, f"ALTER DATABASE {database} ALLOW_CONNECTIONS false")
    await run(server, CUT.format(database))
    await run(server, f"ALTER DATABASE {database} RENAME TO {database}_away")
    try:
        yield
    finally:
        await run(server, f"ALTER DATABASE {database}_away RENAME TO {database}")
        await run(server, f"ALTER DATABASE {database} ALLOW_CONNECTIONS true")


REFUSALS: list[Refusal] = [another_password, no_login, no_connection_left, another_name]


@asynccontextmanager
async def refusing(how: Refusal, server: Server, database: str) -> AsyncGenerator[None]:
    async with how(server, database):
        await run(server, CUT.format(database))
        yield


@pytest.fixture
async def urls(servers: Servers, database: str) -> AsyncIterator[dict[str, str]]:
    """The service logs in with a password, for as long as a test lasts."""
    rules = [server.data_dir / "pg_hba.conf" for server in servers]
    before = rules[0].read_text()
    for server, rule in zip(servers, rules, strict=True):
        rule.write_text(SCRAM.format(database) + before)
        await run(server, f"ALTER ROLE {LOGIN} PASSWORD 'first'")
        await run(server, "SELECT pg_reload_conf()")
    place = f"postgresql://{LOGIN}:first@127.0.0.1"
    try:
        yield {
            "database_url_user": f"{place}:{servers.user.port}/{database}",
            "database_url_general": f"{place}:{servers.general.port}/{database}",
        }
    finally:
        for server, rule in zip(servers, rules, strict=True):
            rule.write_text(before)
            await run(server, "SELECT pg_reload_conf()")


@pytest.fixture
async def it(servers: Servers, database: str, urls: dict[str, str]) -> AsyncIterator[Service]:
    async with service(servers, database, **urls) as it:
        yield it


@pytest.mark.parametrize("how", REFUSALS)
@bounded
async def test_conversations_are_503_until_it_lets_us_in(
    it: Service, servers: Servers, database: str, how: Refusal
) -> None:
    alice = await it.world.member()
    session = await a_session(alice)
    path = f"/v1/chat-sessions/{session['id']}"
    async with refusing(how, servers.general, database):
        for _ in range(2):
            assert refused(await alice.http.get(path), 503)
            assert refused(await alice.http.patch(path, json={"title": "Warm"}), 503)
            body = {"role": "user", "content": "Hello"}
            assert refused(await alice.http.post(f"{path}/messages", json=body), 503)
        assert (await alice.http.get("/v1/me")).status_code == 200
        ready = await it.world.nobody.get("/health/ready")
        assert ready.json()["error"] == "not reachable: general database"
    assert (await a_message(alice, session["id"]))["position"] == 1


@pytest.mark.parametrize("how", REFUSALS)
@bounded
async def test_accounts_are_503_until_it_lets_us_in(
    it: Service, servers: Servers, database: str, how: Refusal
) -> None:
    alice = await it.world.member()
    boss = await it.world.tenant_admin()
    bob = {"username": "\\acme\\bob", "email": "bob@example.org", "password": PASSWORD}
    async with refusing(how, servers.user, database):
        assert refused(await alice.http.get("/v1/me"), 503)
        assert refused(await boss.http.post("/v1/users", json=bob), 503)
        assert refused(await try_login(it.world, alice.username), 503)
    assert (await boss.http.post("/v1/users", json=bob)).status_code == 201


@pytest.mark.parametrize("how", [another_password, no_login, no_connection_left])
@bounded
async def test_the_relay_waits_for_it(
    servers: Servers, database: str, urls: dict[str, str], how: Refusal
) -> None:
    async with open_scene(servers, database, **urls) as scene:
        alice = await scene.a_user(sessions=1)
        await scene.delete(alice)
        relay = scene.relay()
        async with refusing(how, servers.general, database):
            with pytest.raises(AwayError):
                await relay.run_once()
            assert (await scene.entry(alice))["attempts"] == 0
        assert await relay.run_once(), "it is due at once"
        assert (await scene.entry(alice))["receipt"]


async def test_a_server_in_trouble_is_503_and_its_connection_dropped(
    servers: Servers, database: str, urls: dict[str, str]
) -> None:
    """XX000 is what PostgreSQL says of damaged data, and poolers of much else."""
    async with service(servers, database, **urls) as it:
        alice = await it.world.member()
        session = await a_session(alice)
        trouble = await asyncpg.connect(servers.general.url(database))
        await trouble.execute(TROUBLE)
        path = f"/v1/chat-sessions/{session['id']}/messages"
        assert refused(await alice.http.post(path, json={"role": "user", "content": "x"}), 503)
        assert it.world.databases.general.pool.usage().idle == 0
        await trouble.execute("DROP TRIGGER trouble ON messages")
        await trouble.close()
        assert (await a_message(alice, session["id"]))["position"] == 1


TROUBLE = """
CREATE FUNCTION trouble() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'trouble' USING ERRCODE = 'XX000'; END $$;
CREATE TRIGGER trouble BEFORE INSERT ON messages FOR EACH ROW EXECUTE FUNCTION trouble();
"""
