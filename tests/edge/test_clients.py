"""Nothing is done any longer for clients that go away or stop reading."""

from __future__ import annotations

import asyncio
import json
import socket

import asyncpg
import pytest

from tests.support.factories import Someone, World, a_message, a_session
from tests.support.log_lines import events
from tests.support.pool_faults import faults
from tests.support.servers import Servers
from tests.support.wire import (
    MESSAGES,
    PATIENCE_SECONDS,
    ROW,
    Wire,
    bounded,
    locked,
    service,
    wired,
)

PATIENT = {
    "db_lock_timeout_seconds": 600,
    "db_statement_timeout_seconds": 600,
    "request_timeout_seconds": 600,
}
LARGE = """
WITH one AS (SELECT tenant_id, id FROM chat_sessions),
counted AS (UPDATE chat_sessions SET message_count = 100)
INSERT INTO messages (tenant_id, id, session_id, position, role, content)
SELECT tenant_id, gen_random_uuid(), id, position, 'user', repeat('x', 250000)
FROM one, generate_series(1, 100) AS position
"""


def request(someone: Someone, method: str, path: str, body: object = None) -> bytes:
    content = b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", "Host: x", f"Content-Length: {len(content)}"]
    lines.append(f"Authorization: {someone.http.headers['authorization']}")
    lines.append("Content-Type: application/json")
    return "\r\n".join([*lines, "", ""]).encode() + content


async def test_work_for_a_client_that_has_gone_is_cancelled(
    servers: Servers, database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with service(servers, database, **PATIENT) as it:
        alice = await it.world.member()
        session = await a_session(alice)
        path = f"/v1/chat-sessions/{session['id']}/messages"
        async with locked(servers, database, ROW, session["id"]) as row:
            async with wired(it.port) as wire:
                await wire.send(request(alice, "POST", path, {"role": "user", "content": "Gone"}))
                await row.has_waiting(1)
            await row.has_waiting(0)
        for one in (it.world.databases.user, it.world.databases.general):
            assert await faults(one) == []
        assert (await a_message(alice, session["id"], "Here"))["position"] == 1
    written = capsys.readouterr().err
    assert [line["status"] for line in events(written, "request")].count(499) == 1
    assert '"level":"error"' not in written


async def test_an_export_ends_with_its_reader(
    servers: Servers, database: str, world: World
) -> None:
    """There is one place for exports: who stops reading loses it, who goes on keeps it."""
    alice = await world.member()
    await a_session(alice)
    hasty = {"request_exports": 1, "request_timeout_seconds": 0.5}
    async with service(servers, database, **hasty) as it, asyncio.timeout(PATIENCE_SECONDS):
        connection = await asyncpg.connect(servers.general.url(database))
        await connection.execute(LARGE)
        await connection.close()
        export = request(alice, "GET", "/v1/me/export")
        with socket.create_connection(("127.0.0.1", it.port)) as stalled:
            stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            stalled.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(stalled, export)
            assert await loop.sock_recv(stalled, 4) == b"HTTP"
            async with wired(it.port) as other:
                assert await status_of(other, export) == 503
                while await status_of(other, export) != 200:
                    pass
        for one in (it.world.databases.user, it.world.databases.general):
            assert await faults(one) == []


@bounded
async def test_an_export_may_take_longer_than_a_request(
    servers: Servers, database: str, world: World
) -> None:
    """One that came later and waits for the same is given up first."""
    alice = await world.member()
    session = await a_session(alice)
    await a_message(alice, session["id"], "the last word")
    path = f"/v1/chat-sessions/{session['id']}/messages"
    async with service(servers, database, **PATIENT | {"request_timeout_seconds": 0.5}) as it:
        here = it.world.same(alice)
        async with locked(servers, database, MESSAGES) as table:
            export = asyncio.ensure_future(here.http.get("/v1/me/export"))
            await table.has_waiting(1)
            body = {"role": "user", "content": "too late"}
            assert (await here.http.post(path, json=body)).status_code == 503
        assert "the last word" in (await export).text


async def status_of(wire: Wire, data: bytes) -> int:
    await wire.send(data)
    return await wire.status()
