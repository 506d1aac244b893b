"""A block holds from its commit for an export that is under way, however slowly it is read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import asyncpg
import pytest

from app.bridge.export.repository import PAGE_BYTES
from app.http.security import Role
from app.telemetry.requests import requests_in_flight
from tests.support.api_keys import ON_BEHALF_OF, a_backend
from tests.support.erasure_scene import Subject, a_session
from tests.support.factories import PASSWORD, Someone, World
from tests.support.log_lines import events
from tests.support.servers import Servers
from tests.support.wire import Service, bounded, service

SMALL = 4096
ENLARGE = "UPDATE messages SET content = repeat('x', 100000)"
TOTAL = 300 * 100_000
Ends = Callable[[World, Someone], Awaitable[None]]


async def fill(servers: Servers, database: str, someone: Someone) -> None:
    connection = await asyncpg.connect(servers.general.url(database))
    await a_session(connection, Subject(someone.tenant_id, someone.id), 300)
    await connection.execute(ENLARGE)
    await connection.close()


@asynccontextmanager
async def exporting(
    running: Service, reader: Someone, path: str
) -> AsyncGenerator[asyncio.StreamReader]:
    """Begin an export and read no more of it than that it has begun."""
    reading, writing = await asyncio.open_connection("127.0.0.1", running.port, limit=SMALL)
    sent = {name: reader.http.headers.get(name) for name in ("authorization", ON_BEHALF_OF)}
    lines = [f"{name}: {value}" for name, value in sent.items() if value]
    head = "\r\n".join([f"GET {path} HTTP/1.1", "Host: x", *lines, "", ""])
    writing.write(head.encode())
    try:
        assert (await reading.readuntil(b"\r\n")).startswith(b"HTTP/1.1 200")
        yield reading
    finally:
        writing.transport.abort()


def answering() -> set[asyncio.Task[None]]:
    """The tasks in which uvicorn has the service answer requests."""
    tasks = {one for one in asyncio.all_tasks() if "run_asgi" in repr(one.get_coro())}
    assert len(tasks) == requests_in_flight()
    return tasks


async def rest(reading: asyncio.StreamReader) -> bytes:
    """Read what was on its way, once the service has ended the export of who reads nothing."""
    if tasks := answering():
        await asyncio.wait(tasks)
    with suppress(ConnectionResetError):
        return await reading.read()
    return b""


def is_broken_off(received: bytes) -> bool:
    """Tell it from an export that is whole: that one ends with an empty chunk."""
    return len(received) < TOTAL / 2 and not received.endswith(b"0\r\n\r\n")


async def blocked(world: World, who: Someone) -> None:
    boss = await world.tenant_admin()
    assert (await boss.http.post(f"/v1/users/{who.id}/block")).status_code == 200


async def deleted(world: World, who: Someone) -> None:
    boss = await world.tenant_admin()
    assert (await boss.http.delete(f"/v1/users/{who.id}")).status_code == 202


async def demoted(world: World, who: Someone) -> None:
    boss = await world.tenant_admin()
    change = {"roles": ["member"]}
    assert (await boss.http.patch(f"/v1/users/{who.id}", json=change)).status_code == 200


async def logged_out(world: World, who: Someone) -> None:
    assert (await who.http.post("/v1/auth/logout")).status_code == 204


async def erased_by_oneself(world: World, who: Someone) -> None:
    answer = await who.http.post("/v1/me/erasure", json={"current_password": PASSWORD})
    assert answer.status_code == 202


@pytest.mark.parametrize("ends", [blocked, deleted, logged_out, erased_by_oneself])
@bounded
async def test_an_export_of_oneself_ends(
    servers: Servers, database: str, capsys: pytest.CaptureFixture[str], ends: Ends
) -> None:
    async with service(servers, database) as running:
        alice = await running.world.member()
        await fill(servers, database, alice)
        async with exporting(running, alice, "/v1/me/export") as reading:
            await ends(running.world, alice)
            assert is_broken_off(await rest(reading))
    [line] = events(capsys.readouterr().err, "export_revoked")
    assert (line["user_id"], line["reason"]) == (str(alice.id), "Unauthenticated")


@pytest.mark.parametrize(
    ("ends", "of", "reason"),
    [
        (blocked, "boss", "Unauthenticated"),
        (demoted, "boss", "Forbidden"),
        (deleted, "alice", "NotFound"),
        (blocked, "alice", "NotFound"),
    ],
)
@bounded
async def test_an_export_of_somebody_else_ends(
    servers: Servers,
    database: str,
    capsys: pytest.CaptureFixture[str],
    ends: Ends,
    of: str,
    reason: str,
) -> None:
    async with service(servers, database) as running:
        boss, alice = await running.world.tenant_admin(), await running.world.member()
        await fill(servers, database, alice)
        async with exporting(running, boss, f"/v1/users/{alice.id}/export") as reading:
            await ends(running.world, {"boss": boss, "alice": alice}[of])
            assert is_broken_off(await rest(reading))
    [line] = events(capsys.readouterr().err, "export_revoked")
    assert (line["subject_id"], line["reason"]) == (str(alice.id), reason)


@bounded
async def test_no_page_begins_after_a_block_however_fast_it_is_read(
    servers: Servers, database: str
) -> None:
    """A page may be under way, in the sockets' buffers too; a second's worth was 30 MB."""
    async with service(servers, database) as running:
        alice = await running.world.member()
        for _ in range(3):
            await fill(servers, database, alice)
        async with exporting(running, alice, "/v1/me/export") as reading:
            await blocked(running.world, alice)
            received = b""
            with suppress(ConnectionResetError):
                while part := await reading.read(1 << 20):
                    received += part
        assert not received.endswith(b"0\r\n\r\n")
        assert len(received) < 4 * PAGE_BYTES


@bounded
async def test_an_export_of_somebody_who_is_promoted_above_its_reader_ends(
    servers: Servers, database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with service(servers, database) as running:
        boss = await running.world.someone("\\platform\\boss", Role.TENANT_ADMIN)
        eve, root = await running.world.someone("\\platform\\eve"), await running.world.admin()
        await fill(servers, database, eve)
        async with exporting(running, boss, f"/v1/users/{eve.id}/export") as reading:
            promotion = await root.http.patch(f"/v1/users/{eve.id}", json={"roles": ["admin"]})
            assert promotion.status_code == 200
            assert is_broken_off(await rest(reading))
    [line] = events(capsys.readouterr().err, "export_revoked")
    assert (line["subject_id"], line["reason"]) == (str(eve.id), "Forbidden")


@bounded
async def test_an_export_that_a_key_takes_for_a_person_ends_with_the_key_and_the_person(
    servers: Servers, database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with service(servers, database) as running:
        world = running.world
        boss, alice = await world.tenant_admin(), await world.member()
        backends = [await a_backend(world, boss, "export") for _ in range(2)]
        await fill(servers, database, alice)
        key = boss.http.delete(f"/v1/api-keys/{backends[0].id}")
        for backend, end in zip(backends, (key, blocked(world, alice)), strict=True):
            acting = replace(alice, http=backend.acting_for(alice.id))
            async with exporting(running, acting, "/v1/me/export") as reading:
                await end
                assert is_broken_off(await rest(reading))
    lines = events(capsys.readouterr().err, "export_revoked")
    assert [line["reason"] for line in lines] == ["Unauthenticated", "Forbidden"]
    assert [line["actor"] for line in lines] == [str(one.id) for one in backends]
    assert {line["user_id"] for line in lines} == {str(alice.id)}
