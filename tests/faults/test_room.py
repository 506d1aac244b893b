"""No room left: not for a connection, not for a row, not for the write-ahead log."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import asyncpg
import httpx
import pytest

from app.commands.dev import create_database
from app.commands.embedded.cluster import Server
from app.commands.migrate import upgrade
from tests.support.factories import Someone, a_message, a_session
from tests.support.opened import opened
from tests.support.pool_faults import faults
from tests.support.servers import LOUD, Servers, numbers, run, settings_for
from tests.support.wire import PATIENCE_SECONDS, refused, service

SIZE = "8m"
ROOM = "64m"
# PgBouncer would keep some.
END_OURS = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'bicameral'
"""


@asynccontextmanager
async def crowd(server: Server, database: str) -> AsyncGenerator[None]:
    """Somebody else's connections: all that there are for an ordinary login, and none of ours."""
    async with AsyncExitStack() as stack:
        witness = await asyncpg.connect(server.url(database))
        stack.push_async_callback(witness.close)
        while await witness.fetchval(END_OURS):
            pass  # each question is a round trip, so this is no busy loop
        with suppress(asyncpg.TooManyConnectionsError):
            while True:
                one = await asyncpg.connect(server.url(database, "bicameral_app"))
                stack.push_async_callback(one.close)
        yield


async def appended(someone: Someone, session_id: str, texts: list[str]) -> httpx.Response:
    items = [{"role": "user", "content": text} for text in texts]
    path = f"/v1/chat-sessions/{session_id}/messages/batch"
    return await someone.http.post(path, json={"messages": items})


def incompressible() -> str:
    return "".join(str(uuid4()) for _ in range(100))


async def until_refused(someone: Someone, session_id: str, texts: int) -> list[str]:
    """Append until a 503, and give the texts that were acknowledged; there is no other answer."""
    acknowledged: list[str] = []
    while True:
        batch = [incompressible() for _ in range(texts)]
        answer = await appended(someone, session_id, batch)
        if answer.status_code != 201:
            assert refused(answer, 503)
            return acknowledged
        acknowledged += batch


async def until_accepted(someone: Someone, session_id: str) -> int:
    """Repeat an append until there is room, and give its position."""
    while (answer := await appended(someone, session_id, ["again"])).status_code != 201:
        assert refused(answer, 503)
    position: int = answer.json()["items"][0]["position"]
    return position


async def contents(servers: Servers, database: str, session_id: str) -> list[str]:
    async with opened(servers, database) as opener:
        rows = await opener.messages(session_id)
    assert [row.position for row in rows] == list(range(1, len(rows) + 1))
    return [row.content for row in rows]


async def test_requests_are_503_while_the_server_has_no_connection_left(
    servers: Servers, database: str
) -> None:
    async with service(servers, database) as it, asyncio.timeout(PATIENCE_SECONDS):
        alice = await it.world.member()
        session = await a_session(alice)
        await it.world.databases.general.dispose()
        async with crowd(servers.general, database):
            for path in ("/v1/chat-sessions", f"/v1/chat-sessions/{session['id']}"):
                assert refused(await alice.http.get(path), 503)
            assert refused(await appended(alice, session["id"], ["lost"]), 503)
            assert (await alice.http.get("/v1/me")).status_code == 200
            health = (await alice.http.get("/health")).json()["databases"]
            assert health == {"user": "connected", "general": "disconnected"}
        assert await until_accepted(alice, session["id"]) == 1
        assert await faults(it.world.databases.general) == []


@contextmanager
def passable(name: str) -> Generator[Path]:
    """A folder of root's that the servers' account may pass through."""
    with TemporaryDirectory(prefix=f"bicameral-{name}-") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


@pytest.fixture
def full(servers: Servers) -> Iterator[Path]:
    """A disk of 8 MB for a server's account."""
    owner = servers.general.data_dir.stat()
    options = f"size={SIZE},mode=700,uid={owner.st_uid},gid={owner.st_gid}"
    with passable("full") as folder:
        place = folder / "disk"
        place.mkdir()
        mount = ("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place))
        if subprocess.run(mount, check=False, capture_output=True).returncode:
            pytest.skip(f"full disks {LOUD}: this account may mount none")
        try:
            yield place
        finally:
            subprocess.run(("umount", "--lazy", str(place)), check=True)


@pytest.fixture
async def tablespace(servers: Servers, full: Path) -> AsyncIterator[str]:
    name = f"full_{next(numbers)}"
    await run(servers.general, f"CREATE TABLESPACE {name} LOCATION '{full}'")
    yield name
    await run(servers.general, f"DROP TABLESPACE {name}")


async def test_appends_are_503_while_the_disk_has_no_room_for_a_row(
    servers: Servers, full: Path, tablespace: str, database: str
) -> None:
    await run(servers.general, f"ALTER TABLE messages SET TABLESPACE {tablespace}", database)
    async with service(servers, database) as it, asyncio.timeout(PATIENCE_SECONDS):
        alice = await it.world.member()
        session = await a_session(alice)
        await a_message(alice, session["id"], "first")
        ballast = full / "ballast"
        ballast.write_bytes(bytes(shutil.disk_usage(full).free))
        there = ["first", *await until_refused(alice, session["id"], 5)]
        path = f"/v1/chat-sessions/{session['id']}"
        assert (await alice.http.get(path)).json()["message_count"] == len(there)
        assert (await alice.http.get(f"{path}/messages")).status_code == 200
        ballast.unlink()
        assert await until_accepted(alice, session["id"]) == len(there) + 1
        assert await faults(it.world.databases.general) == []
    assert await contents(servers, database, session["id"]) == [*there, "again"]


@pytest.fixture
async def tight(servers: Servers, full: Path, database: str) -> AsyncIterator[Servers]:
    """Beside the run's user server one for the general database whose log has 8 MB."""
    with passable("tight") as folder:
        data_dir = folder / "general"
        server = Server(data_dir, data_dir, servers.general.programs, durable=False, tcp=True)
        pair = Servers(servers.user, server)
        try:
            await asyncio.to_thread(server.start)
            await create_database(server, database)
            upgrade(settings_for(pair, database), "general")
            await run(server, f"ALTER DATABASE {database} SET synchronous_commit = on")
            await asyncio.to_thread(server.stop)
            await asyncio.to_thread(move_log, server, full)
            await asyncio.to_thread(server.start)
            yield pair
        finally:
            await asyncio.to_thread(server.stop)


def move_log(server: Server, disk: Path) -> None:
    """Make segments of 1 MB instead of 16, so that several fit."""
    with (server.data_dir.parent / "resetwal.log").open("wb") as log:
        options = ("--wal-segsize=1", "-D", str(server.data_dir))
        at = server.data_dir
        assert server.programs.run("pg_resetwal", *options, at=at, log=log).wait(30) == 0
    old = server.data_dir / "pg_wal"
    shutil.copytree(old, disk, dirs_exist_ok=True)
    for copy in disk.rglob("*"):
        server.programs.give(copy)
    shutil.rmtree(old)
    old.symlink_to(disk)


async def test_appends_are_503_while_the_disk_has_no_room_for_the_log(
    tight: Servers, full: Path, database: str
) -> None:
    """The server panics; its operator makes room and starts it."""
    server = tight.general
    async with service(tight, database) as it, asyncio.timeout(PATIENCE_SECONDS):
        alice = await it.world.member()
        session = await a_session(alice)
        there = await until_refused(alice, session["id"], 50)
        assert (await alice.http.get("/v1/me")).status_code == 200
        subprocess.run(("mount", "-o", f"remount,size={ROOM}", str(full)), check=True)  # noqa: ASYNC221  at once
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
        await until_accepted(alice, session["id"])
        assert await faults(it.world.databases.general) == []
    found = await contents(tight, database, session["id"])
    assert [text for text in found if text != "again"][: len(there)] == there
    assert len(found) <= len(there) + 51  # the refused batch, if its COMMIT got through, and ours
