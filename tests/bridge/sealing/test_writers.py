"""No row stays plain of somebody who chose so before sealing began, and commits afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID, uuid4

import asyncpg
import pytest

from app.bridge.sealing.conversion import Conversion
from app.chat.words import Seal, Words
from app.config.settings import Settings
from app.http.errors import Conflict
from tests.support.commands import litestar, urls
from tests.support.factories import World, a_message, a_session
from tests.support.importing import exported, imported
from tests.support.locks import until_waiting
from tests.support.sealed import MARK, found, there, with_a_key
from tests.support.sealing import keys_on, master_keys
from tests.support.servers import Servers
from tests.support.wire import refused

T = TypeVar("T")
HERS = "SELECT FROM owners WHERE user_id = $1 FOR UPDATE"
CONVERSATION = "SELECT FROM chat_sessions WHERE id = $1::text::uuid FOR UPDATE"
ERASE = "DELETE FROM chat_sessions"
WRITE = """
INSERT INTO messages (tenant_id, id, session_id, position, role, content)
SELECT tenant_id, gen_random_uuid(), id, 2, 'user', $2 FROM chat_sessions WHERE id = $1::text::uuid
"""
WRITE_SEALED = """
INSERT INTO messages (
    tenant_id, id, session_id, position, role, content, sealed, sealed_size)
SELECT tenant_id, $2, id, 1, 'user', '', $3, $4 FROM chat_sessions WHERE id = $1::text::uuid
"""
AT_ONCE = timedelta()


def nothing() -> None:
    pass


class Told:
    """Notes that a conversion waits for somebody."""

    def __init__(self) -> None:
        self.lines = list[str]()
        self._event = asyncio.Event()

    def __call__(self, line: str) -> None:
        self.lines.append(line)
        self._event.set()

    async def or_ended(self, task: asyncio.Task[Any]) -> None:
        """Return when it waits, or has ended without."""
        waits = asyncio.create_task(self._event.wait())
        async with asyncio.timeout(20):
            await asyncio.wait((task, waits), return_when=asyncio.FIRST_COMPLETED)
        waits.cancel()


def begun(work: Awaitable[T]) -> asyncio.Task[T]:
    return asyncio.ensure_future(work)


async def test_a_transaction_that_is_open_is_waited_for(
    world: World, settings: Settings, servers: Servers, database: str
) -> None:
    """Its process was frozen after its last check; the server ends no transaction so soon."""
    alice = await world.member()
    session = await a_session(alice, MARK)
    keys, told = keys_on(world.databases, settings, "a"), Told()
    env = urls(servers, database) | {"SEAL_KEYS": master_keys("a")}
    frozen = await asyncpg.connect(servers.general.url(database))
    looking = await asyncpg.connect(servers.general.url(database))
    try:
        transaction = frozen.transaction()
        await transaction.start()
        await frozen.execute(WRITE, session["id"], MARK)
        conversion = Conversion(keys, world.databases, told, settling=AT_ONCE)
        sealing = begun(conversion.seal(nothing))
        await told.or_ended(sealing)
        shown = (await litestar("keys", "status", env=env)).out.splitlines()
        assert shown[0].startswith("sealing: on, but rows may be plain yet")
        assert shown[-1] == "people with plain rows: 1"
        await transaction.commit()
        assert await sealing == []
        assert await found(looking, MARK) == []
        assert str(frozen.get_server_pid()) in "".join(told.lines)
        shown = (await litestar("keys", "status", env=env)).out.splitlines()
        assert (shown[0], shown[-1]) == ("sealing: on", "people with plain rows: 0")
    finally:
        frozen.terminate()
        looking.terminate()


async def test_an_import_that_has_begun_is_waited_for(
    world: World,
    settings: Settings,
    servers: Servers,
    database: str,
    general: asyncpg.Connection[Any],
) -> None:
    alice = await world.member()
    await a_message(alice, (await a_session(alice, MARK))["id"], MARK)
    file = await exported(world.databases, settings)
    await general.execute(ERASE)
    keys, told = keys_on(world.databases, settings, "a"), Told()
    known = Settings.model_validate(settings.model_dump() | {"seal_keys": master_keys("a")})
    looking = await asyncpg.connect(servers.general.url(database))
    try:
        async with general.transaction():
            await general.execute(HERS, alice.id)
            importing = begun(imported(world.databases, known, file))
            await until_waiting(looking, on=importing)
            conversion = Conversion(keys, world.databases, told, settling=AT_ONCE)
            sealing = begun(conversion.seal(nothing))
            await told.or_ended(sealing)
        assert (await importing).done.messages == 1
        assert await sealing == []
        assert await found(looking, MARK) == []
    finally:
        looking.terminate()


async def test_who_is_looked_up_again_does_not_write_plain(
    world: World, settings: Settings, servers: Servers, database: str
) -> None:
    """It waits for a row until its first look-up counts no more, and sealing begins meanwhile."""
    alice = await world.member()
    session = await a_session(alice)
    path = f"/v1/chat-sessions/{session['id']}/messages"
    general = await asyncpg.connect(servers.general.url(database))
    looking = await asyncpg.connect(servers.general.url(database))
    try:
        async with general.transaction():
            await general.execute(CONVERSATION, session["id"])
            saying = begun(alice.http.post(path, json={"role": "user", "content": MARK}))
            await until_waiting(looking)
            await keys_on(world.databases, settings, "a").begin(AT_ONCE)
            await until_waiting(looking, seconds=1.1)
        assert refused(await saying, 503)
        assert await found(looking, MARK) == []
    finally:
        general.terminate()
        looking.terminate()


async def test_what_is_sealed_late_is_opened_before_its_key_is_deleted(
    world: World,
    settings: Settings,
    servers: Servers,
    database: str,
    general: asyncpg.Connection[Any],
) -> None:
    """Otherwise nobody could ever read it again."""
    alice = await world.member()
    session = await a_session(alice)
    keys, told = keys_on(world.databases, settings, "a"), Told()
    conversion = Conversion(keys, world.databases, told, settling=AT_ONCE)
    assert await conversion.seal(nothing) == []
    wrapped = await keys.key_of(alice.tenant_id, alice.id)
    key = keys.master_keys.person_key(wrapped, alice.tenant_id, alice.id)
    message_id = uuid4()
    seal = Seal(alice.tenant_id, key, is_sealing=True)
    said = seal.columns(UUID(session["id"]), message_id, Words(MARK))
    async with general.transaction():
        await general.execute(WRITE_SEALED, session["id"], message_id, said.sealed, said.size)
        unsealing = begun(conversion.unseal(nothing))
        await told.or_ended(unsealing)
    assert await unsealing == []
    page = await alice.http.get(f"/v1/chat-sessions/{session['id']}/messages")
    assert [one["content"] for one in page.json()["items"]] == [MARK]


async def test_a_frozen_unsealing_undoes_nothing_that_is_sealed_again(
    world: World,
    settings: Settings,
    servers: Servers,
    database: str,
    general: asyncpg.Connection[Any],
) -> None:
    alice = await world.member()
    session = await a_session(alice)
    keys = keys_on(world.databases, settings, "a")
    conversion = Conversion(keys, world.databases, print, settling=AT_ONCE)
    looking = await asyncpg.connect(servers.general.url(database))
    async with with_a_key(servers, database) as sealed:
        await conversion.seal(nothing)
        hers = there(sealed, alice)
        await a_message(hers, session["id"], MARK)
        try:
            async with general.transaction():
                await general.execute(CONVERSATION, session["id"])
                unsealing = begun(conversion.unseal(nothing))
                await until_waiting(looking, on=unsealing)
                await keys.begin(AT_ONCE)
            with pytest.raises(Conflict, match="switched sealing"):
                await unsealing
            assert await found(looking, MARK) == []
            page = await hers.http.get(f"/v1/chat-sessions/{session['id']}/messages")
            assert [one["content"] for one in page.json()["items"]] == [MARK]
        finally:
            looking.terminate()
