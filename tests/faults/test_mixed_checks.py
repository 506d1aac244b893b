"""The reckoning after the soak is checked itself: whatever is tampered with is found out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from random import Random

import asyncpg
import pytest

from tests.support.servers import Servers
from tests.support.soak.book import Book, Conversation, Fate, Person
from tests.support.soak.boss import Boss, log_in
from tests.support.soak.caller import Caller, SurpriseError
from tests.support.soak.checks import CHECKS, findings, left_open
from tests.support.soak.figures import MEGABYTE, drift, memory
from tests.support.soak.life import Life
from tests.support.soak.replicas import Held, until
from tests.support.soak.soak import Sample
from tests.support.soak.state import Sight, seen
from tests.support.soak.tally import Tally, Timing
from tests.support.wire import PATIENCE_SECONDS, service

SECOND = "session_id = '$talk' AND position = 2"
NEW_USER = """
INSERT INTO users (id, tenant_id, username, email, password_hash)
SELECT gen_random_uuid(), tenant_id, username || 'a', 'a' || email, 'x'
FROM users WHERE id = '$alice'
"""
NEW_TOKEN = """
INSERT INTO access_tokens (digest, tenant_id, user_id, expires_at)
SELECT 'x', tenant_id, '$bob', now() FROM users WHERE id = '$alice'
"""
NEW_SESSION = """
INSERT INTO chat_sessions (tenant_id, id, user_id, title)
SELECT tenant_id, {id}, user_id, title FROM chat_sessions WHERE id = '$talk'
"""
NEW_MESSAGE = f"""
INSERT INTO messages (tenant_id, id, session_id, position, role, content)
SELECT tenant_id, gen_random_uuid(), session_id, 900, role, {{content}} FROM messages WHERE {SECOND}
"""
# The promise it breaks, the side it is done on, and how. What begins with $ is an id of the scene.
TAMPERING: list[tuple[str, str, str]] = [
    ("user_lost", "user", "DELETE FROM users WHERE id = '$alice'"),
    ("user_lost", "user", "UPDATE users SET username = username || 'a' WHERE id = '$alice'"),
    ("user_unknown", "user", NEW_USER),
    ("block_lost", "user", "UPDATE users SET is_blocked = true WHERE id = '$alice'"),
    ("pending", "user", "UPDATE subject_ledger SET rev = rev + 1 WHERE user_id = '$bob'"),
    ("left_behind", "user", "UPDATE subject_ledger SET state = 'present' WHERE user_id = '$bob'"),
    ("left_behind", "user", NEW_TOKEN),
    ("left_behind", "general", "UPDATE owners SET state = 'open' WHERE user_id = '$bob'"),
    ("receipt_wrong", "general", "DELETE FROM erasure_receipts"),
    ("receipt_wrong", "general", "UPDATE erasure_receipts SET hash = reverse(hash)"),
    ("receipt_wrong", "general", "UPDATE erasure_receipts SET user_id = '$alice'"),
    ("session_lost", "general", "DELETE FROM chat_sessions WHERE id = '$talk'"),
    ("session_unknown", "general", NEW_SESSION.format(id="gen_random_uuid()")),
    ("session_there_again", "general", NEW_SESSION.format(id="'$closed'")),
    ("orphan", "general", "UPDATE chat_sessions SET user_id = '$bob' WHERE id = '$talk'"),
    ("orphan", "general", "UPDATE messages SET session_id = '$closed'"),
    ("lost_write", "general", f"DELETE FROM messages WHERE {SECOND}"),
    ("lost_write", "general", f"UPDATE messages SET content = 'x', sealed = NULL WHERE {SECOND}"),
    ("gap", "general", f"UPDATE messages SET position = 900 WHERE {SECOND}"),
    ("double_write", "general", NEW_MESSAGE.format(content="'$talk 1'")),
    ("unknown_write", "general", NEW_MESSAGE.format(content="'x'")),
]


@dataclass
class Scene:
    book: Book
    tally: Tally
    sight: Sight
    ids: dict[str, str]


@pytest.fixture
async def scene(servers: Servers, database: str) -> AsyncIterator[Scene]:
    """Alice stays, with one conversation of two; Bob had one and is deleted."""
    book, tally, chance = Book(), Tally(), Random(1)  # noqa: S311  not for secrets
    async with AsyncExitStack() as stack:
        it = await stack.enter_async_context(service(servers, database, relay=True))
        sight = await stack.enter_async_context(seen(servers, database))
        root = await it.world.admin()
        await it.world.tenant("north")
        book.people.append(Person(root.username))
        callers = [Caller([f"http://127.0.0.1:{it.port}"], tally, chance) for _ in range(3)]
        for caller in callers:
            stack.push_async_callback(caller.close)
            caller.leaves = 0.0
        callers[0].authorization = root.http.headers["Authorization"]
        boss = Boss(callers[0], book, "north")
        alice, bob = [Life(await boss.makes(), caller, boss) for caller in callers[1:]]
        for one in (alice, bob):
            await log_in(one.caller, one.person.username)
            await opened(one)
        await opened(alice)
        await alice.closes()
        await everything(alice)
        await bob.is_deleted()
        await until(lambda: is_settled(sight), PATIENCE_SECONDS)
        yield Scene(book, tally, sight, ids(alice.person, bob.person))


async def opened(one: Life) -> None:
    """The conversation is there for certain, with something said in it."""
    await one.opens()
    recorder = one.person.conversations[-1].recorder
    assert recorder is not None
    await recorder.append(one.caller, [f"{recorder.session_id} {n}" for n in range(3)], None)


async def everything(one: Life) -> None:
    await one.says()
    await one.argues()
    await one.reads()
    await one.renames()
    await one.lists()
    await one.exports()
    await one.looks()
    await one.logs_in_anew()
    await one.is_blocked_for_a_while()


def ids(alice: Person, bob: Person) -> dict[str, str]:
    def of(fate: Fate) -> str:
        known = [one for one in alice.conversations if one.recorder and one.fate is fate]
        return session_id(known[0])

    named = {"$alice": alice.id, "$bob": bob.id, "$talk": of(Fate.STAYS), "$closed": of(Fate.GONE)}
    return {name: one for name, one in named.items() if one}


def session_id(one: Conversation) -> str:
    assert one.recorder is not None
    return one.recorder.session_id


async def is_settled(sight: Sight) -> bool:
    return not any(one.is_pending for one in (await sight.state()).ledger.values())


async def test_whatever_is_tampered_with_is_found_out(scene: Scene) -> None:
    assert findings(scene.book, await scene.sight.state()) == []
    assert scene.tally.surprises == []
    for kind, side, statement in TAMPERING:
        for name, one in scene.ids.items():
            statement = statement.replace(name, one)
        found = await tampered(scene, getattr(scene.sight, side), statement)
        assert kind in found, statement


async def tampered(scene: Scene, connection: asyncpg.Connection, statement: str) -> set[str]:
    """Past all triggers and foreign keys; taken back afterwards."""
    change = connection.transaction()
    await change.start()
    try:
        await connection.execute("SET LOCAL session_replication_role = replica")
        tag = await connection.execute(statement)
        assert not tag.endswith(" 0"), f"{statement} changed nothing"
        return {one.kind for one in findings(scene.book, await scene.sight.state())}
    finally:
        await change.rollback()


async def test_an_acknowledged_write_that_is_nowhere_is_found_out(scene: Scene) -> None:
    """The other way round: the book holds what the databases never did."""
    scene.book.people.append(Person("\\north\\never", "00000000-0000-0000-0000-000000000000"))
    found = findings(scene.book, await scene.sight.state())
    assert [one.kind for one in found] == ["user_lost"]


ANSWERS = [
    (b"500 X\r\nRetry-After: 1", 1),
    (b"503 X", 1),
    (b"404 X", 1),
    (b"409 X", 1),
    (b"503 X\r\nRetry-After: 1", 0),
    (b"201 X", 0),
]


@pytest.mark.parametrize(("head", "surprises"), ANSWERS)
async def test_an_answer_that_nothing_explains_is_found_out(head: bytes, surprises: int) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 " + head + b"\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    tally = Tally()
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port: int = server.sockets[0].getsockname()[1]
        caller = Caller([f"http://127.0.0.1:{port}"], tally, Random(1))  # noqa: S311  not for secrets
        caller.leaves = 0.0
        with suppress(SurpriseError):
            await caller.once("GET", "/")
        await caller.close()
    assert len(tally.surprises) == surprises


@pytest.mark.parametrize("more", [{"from_clients": 1}, {"to_databases": 99}, {"descriptors": 31}])
def test_connections_left_open_are_found_out(more: dict[str, int]) -> None:
    before = Held(rss_bytes=1, descriptors=30, from_clients=0, to_databases=20)
    assert left_open({"steady": before}, {"steady": before}) == []
    after = before._replace(**more)
    assert len(left_open({"steady": before}, {"steady": after})) == 1


def test_growth_and_drift_are_told() -> None:
    hours = [number / 10 for number in range(100)]
    samples = [Sample(3600 * at, int((100 + 2 * at) * MEGABYTE), 30, 1) for at in hours]
    assert memory(samples)["slope_mb_per_hour"] == pytest.approx(2, abs=0.01)
    timings = [Timing(at, 0.1 if at < 50 else 0.3) for at in range(100)]
    assert (drift(timings)["first"], drift(timings)["last"]) == (100.0, 300.0)


def test_each_check_has_a_tampering_that_it_finds_out() -> None:
    assert {kind for kind, _, _ in TAMPERING} >= {check.__name__ for check in CHECKS}
