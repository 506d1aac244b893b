"""Whoever is deleted while they are imported leaves nothing, and long people are stored whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from app.bridge.erasure.relay import Relay
from app.bridge.importing.transaction import CLOSED as REFUSED
from app.databases.database import Databases
from tests.support.factories import Someone, World, a_message, a_session
from tests.support.importing import exported, imported, objects, rewritten
from tests.support.locks import until_waiting
from tests.support.moved import Target
from tests.support.servers import Servers, run

CLOSED = "SELECT count(*) FROM owners WHERE state = 'closed'"
# More rows than are kept before they are stored.
MANY = """
INSERT INTO chat_sessions (tenant_id, id, user_id, message_count)
SELECT '{tenant}', gen_random_uuid(), '{user}', 600 FROM generate_series(1, 20);
INSERT INTO messages (tenant_id, id, session_id, position, role, content)
SELECT s.tenant_id, gen_random_uuid(), s.id, n, 'user', 'text'
FROM chat_sessions s, generate_series(1, 600) AS n WHERE s.user_id = '{user}';
"""


@pytest.fixture
async def moved(target: Target) -> AsyncIterator[Databases]:
    databases = Databases.create(target.settings_with(db_lock_timeout_seconds=60))
    yield databases
    await databases.dispose()


@pytest.fixture
async def there(target: Target) -> AsyncIterator[asyncpg.Connection]:
    """Connect to the new database as a superuser."""
    connection = await asyncpg.connect(target.servers.general.url(target.name))
    yield connection
    connection.terminate()


@pytest.mark.parametrize("is_known", [True, False], ids=["owner", "no owner"])
async def test_whoever_is_deleted_meanwhile_leaves_nothing(
    world: World, target: Target, moved: Databases, there: asyncpg.Connection, is_known: bool
) -> None:
    """An owner who is there is closed while the import waits, and the import sees that at its end.

    One whom the import has made is closed after it. In both cases the erasure waits for it.
    """
    alice = await world.member()
    await a_message(alice, (await a_session(alice))["id"])
    file = await exported(world.databases, target.settings)
    if is_known:
        await target.run(f"INSERT INTO owners VALUES ('{alice.tenant_id}', '{alice.id}')")
    blocker = await asyncpg.connect(target.servers.general.url(target.name))
    await blocker.execute("BEGIN; LOCK TABLE messages IN SHARE MODE")
    importing = asyncio.create_task(imported(moved, target.settings, file))
    await until_waiting(there, 1)  # with the conversation stored, and no message yet
    await world.operators.delete_user(alice.username)
    erasing = asyncio.create_task(Relay(moved, target.settings).run_once())
    await until_waiting(there, 2)
    assert await there.fetchval(CLOSED) == is_known
    await blocker.close()
    said = (await importing).said
    assert said == ([f"{_whose(alice)} {REFUSED}."] if is_known else [])
    assert await erasing
    for table in ("chat_sessions", "messages"):
        assert await target.rows(table) == []
    assert [row for row in await target.rows("owners") if "erased" in row]


def _whose(someone: Someone) -> str:
    return f"user {someone.id} of tenant {someone.tenant_id}"


async def test_a_long_person_is_stored_as_they_are_read_and_whole(
    world: World, target: Target, moved: Databases, servers: Servers, database: str
) -> None:
    """A bad line at the end takes all of it back."""
    alice = await world.member()
    await run(servers.general, MANY.format(tenant=alice.tenant_id, user=alice.id), database)
    file = await exported(world.databases, target.settings)
    lines = objects(file)
    last = next(n for n in range(len(lines) - 1, 0, -1) if lines[n]["type"] == "message")
    lines[last] |= {"role": "root"}
    result = await imported(moved, target.settings, rewritten(lines))
    assert "role: Send one of these" in result.said[0]
    for table in ("chat_sessions", "messages", "owners"):
        assert await target.rows(table) == []
    result = await imported(moved, target.settings, file)
    assert (result.said, result.done.messages) == ([], 12_000)
    assert await target.said("messages") == await target.said("messages", before=True)
    assert (await imported(moved, target.settings, file)).done.present == 1


async def test_an_export_over_http_is_imported_too(
    world: World, target: Target, moved: Databases
) -> None:
    """It has no digests: that of a message which was not edited is made again."""
    alice = await world.member()
    path = f"/v1/chat-sessions/{(await a_session(alice))['id']}/messages"
    for said in ("Hello", [{"type": "text", "text": "Hello"}]):
        body = {"role": "user", "content": said, "client_id": f"turn-{len(said)}"}
        body |= {"metadata": {"b": "1", "a": "2"}}
        assert (await alice.http.post(path, json=body)).status_code == 201
    file = (await alice.http.get("/v1/me/export")).content
    cut = file[: file.rindex(b'{"type":"message"')]
    result = await imported(moved, target.settings, cut)
    assert "The conversation has 2 messages, the file 1" in result.said[0]
    assert await target.rows("owners") == []
    result = await imported(moved, target.settings, file)
    assert (result.said, result.done.messages) == ([], 2)
    assert await target.said("messages") == await target.said("messages", before=True)
