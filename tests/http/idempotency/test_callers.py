"""An API key's `Idempotency-Key` belongs to it and its person, and meets nobody else's."""

from __future__ import annotations

import asyncio
from hashlib import sha256

import asyncpg

from app.http.idempotency import HEADER
from tests.support.api_keys import Backend, a_backend
from tests.support.factories import Someone, World, a_session
from tests.support.idempotency import Rows
from tests.support.locks import lock_rows, until_waiting
from tests.support.servers import Servers

KEY = {HEADER: "k"}
MESSAGE = {"role": "user", "content": "Hello"}


class Four:
    """Two API keys of a tenant and two persons: with the person alone, five callers in all."""

    def __init__(self, backends: list[Backend], alice: Someone, bob: Someone) -> None:
        self.one, other = backends
        self.alice = alice
        self.clients = {
            "one for alice": self.one.acting_for(alice.id),
            "one for bob": self.one.acting_for(bob.id),
            "other for alice": other.acting_for(alice.id),
            "alice": alice.http,
            "bob": bob.http,
        }

    @classmethod
    async def made(cls, world: World) -> Four:
        boss = await world.tenant_admin()
        backends = [await a_backend(world, boss) for _ in range(2)]
        return cls(backends, await world.member(), await world.member())


async def test_equal_keys_of_keys_and_persons_do_not_meet(world: World) -> None:
    """Each creates, and is answered by its own when it repeats."""
    four = await Four.made(world)
    made: dict[str, str] = {}
    for turn in range(2):
        for name, client in four.clients.items():
            body = {"title": name}
            answer = await client.post("/v1/chat-sessions", json=body, headers=KEY)
            assert answer.status_code == 201, (name, answer.text)
            assert answer.json()["title"] == name
            assert made.setdefault(name, answer.json()["id"]) == answer.json()["id"], turn
    assert len(set(made.values())) == len(four.clients)


async def test_nor_do_they_at_the_same_moment(
    world: World, servers: Servers, database: str
) -> None:
    """All wait for alice's and bob's owners at once; none is taken for another's retry."""
    four = await Four.made(world)
    for name in ("alice", "bob"):
        await four.clients[name].post("/v1/chat-sessions", json={})  # opens their owners
    general = await asyncpg.connect(servers.general.url(database))
    async with general.transaction():
        await lock_rows(general, "owners")
        sent = [
            asyncio.create_task(client.post("/v1/chat-sessions", json={}, headers=KEY))
            for client in four.clients.values()
        ]
        await until_waiting(general, len(sent), on=sent[-1])
    await general.close()
    answers = await asyncio.gather(*sent)
    assert [answer.status_code for answer in answers] == [201] * len(sent)
    assert len({answer.json()["id"] for answer in answers}) == len(sent)


async def test_nor_do_they_in_one_conversation(
    world: World, servers: Servers, database: str
) -> None:
    """Appending waits in the process, too, where keys under way are known."""
    four = await Four.made(world)
    path = f"/v1/chat-sessions/{(await a_session(four.alice))['id']}/messages"
    of_alice = [client for name, client in four.clients.items() if name.endswith("alice")]
    general = await asyncpg.connect(servers.general.url(database))
    async with general.transaction():
        await lock_rows(general, "chat_sessions")
        sent = [
            asyncio.create_task(client.post(path, json=MESSAGE, headers=KEY)) for client in of_alice
        ]
        await until_waiting(general)
        again = await of_alice[0].post(path, json=MESSAGE, headers=KEY)
        assert again.status_code == 409  # its own first is still running
    await general.close()
    answers = [answer.json() for answer in await asyncio.gather(*sent)]
    assert sorted(answer["position"] for answer in answers) == [1, 2, 3]


async def test_keys_that_act_for_nobody_do_not_meet_either(world: World, rows: Rows) -> None:
    boss = await world.tenant_admin()
    one, other = [await a_backend(world, boss, "users:write") for _ in range(2)]
    users = await rows.of("user")
    answers = [
        await client.post("/v1/users", json=_user(name), headers=KEY)
        for _ in range(2)
        for name, client in (("by-one", one.http), ("by-other", other.http), ("by-boss", boss.http))
    ]
    assert [answer.status_code for answer in answers] == [201] * 6
    assert await rows.of("user") == users + 3
    assert [answer.json() for answer in answers[:3]] == [answer.json() for answer in answers[3:]]


def _user(name: str) -> dict[str, str]:
    password = "a quiet corner of the library"
    return {"username": name, "email": f"{name}@example.org", "password": password}


async def test_a_persons_key_that_looks_like_an_api_keys_is_not_taken_for_one(
    world: World,
) -> None:
    """Alice sends what is stored for the API key that acted for her."""
    four = await Four.made(world)
    path, body = "/v1/chat-sessions", {"title": "by the backend"}
    by_key = await four.clients["one for alice"].post(path, json=body, headers=KEY)
    stored = f"k:{four.one.id}:{sha256(KEY[HEADER].encode()).hexdigest()}"
    for sent in (stored, f"u:{sha256(stored.encode()).hexdigest()}"):
        answers = [
            await four.alice.http.post(path, json=body, headers={HEADER: sent}) for _ in range(2)
        ]
        assert [answer.status_code for answer in answers] == [201, 201]
        assert answers[0].json() == answers[1].json() != by_key.json()
