"""Nothing that a held owner said is deleted or overwritten, by whichever way; adding goes on."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import asyncpg
import httpx
import pytest

from app.databases.causes import OWNER_HELD
from tests.support.conversation import Conversation, a_conversation
from tests.support.erasure_scene import Scene, Subject, a_session, waits, writer
from tests.support.factories import Someone, World

SET = "SELECT set_hold($1, $2, $3, $4)"
DRAIN = "SELECT FROM owners WHERE tenant_id = $1 AND user_id = $2 FOR UPDATE"
DELETE = "DELETE FROM chat_sessions WHERE tenant_id = $1 AND user_id = $2"
CHECK = "SELECT check_overwrite($1, $2)"


async def hold(sql: asyncpg.Connection, who: Someone | Subject, rev: int = 1) -> None:
    await sql.execute(SET, who.tenant_id, _id(who), rev % 2 == 1, rev)


def _id(who: Someone | Subject) -> Any:
    return who.id if isinstance(who, Someone) else who.user_id


async def overwrites(chat: Conversation, tag: str = "") -> list[httpx.Response]:
    """Every request that would delete or overwrite what is there."""
    http, wire = chat.http, chat.path.replace("chat-sessions/", "conversations/conv_")
    wire = wire[: wire.index("_") + 1] + wire[wire.index("_") + 1 :].replace("-", "")
    item = (await http.get(f"{wire}/items")).json()["data"][0]["id"]
    return [
        await chat.edit(1, content="other"),
        await chat.edit(2, metadata={"a": "b"}),
        await chat.edit(2, status="incomplete"),
        await chat.delete(1),
        await chat.cut(1),
        await chat.cut(0),
        await http.patch(chat.path, json={"title": "other"}),
        await http.patch(chat.path, json={"metadata": {"a": "b"}}),
        await http.patch(chat.path, json={"expires_at": None}),
        await http.delete(chat.path),
        await http.post(wire, json={"metadata": {"a": "b"}}),
        await http.delete(f"{wire}/items/{item}"),
        await http.delete(wire),
    ]


async def test_every_deletion_and_overwriting_is_a_conflict(world: World, scene: Scene) -> None:
    alice = await world.member()
    chat = await a_conversation(alice, "a", "b", "c")
    before, shown = await chat.read(), (await alice.http.get(chat.path)).json()
    await hold(scene.general, alice)
    for answer in await overwrites(chat):
        assert answer.status_code == 409, (answer.request.url, answer.text)
        assert "legal hold" in answer.json()["detail"]
        assert answer.headers["content-type"] == "application/problem+json"
    assert (await chat.read(), (await alice.http.get(chat.path)).json()) == (before, shown)
    await hold(scene.general, alice, rev=2)
    statuses = [answer.status_code for answer in await overwrites(chat)]
    assert statuses[:4] == [200, 200, 200, 204]
    assert 409 not in statuses


@pytest.mark.parametrize(
    ("function", "number"), [("change_message", 3), ("delete_messages", 4), ("check_overwrite", 13)]
)
async def test_control_each_function_refuses_by_itself(
    world: World, scene: Scene, function: str, number: int
) -> None:
    """Without its call, or its exception, the requests that come to it are let in."""
    text = await scene.general.fetchval(f"SELECT pg_get_functiondef('{function}'::regproc)")
    careless = re.sub(r"PERFORM check_overwrite\(.*?\);|RAISE EXCEPTION.*?;", "NULL;", text)
    if function == "check_overwrite":
        careless = text.replace("IF is_held", "IF false")
    assert careless != text
    await scene.general.execute(careless)
    alice = await world.member()
    chat = await a_conversation(alice, "a", "b", "c")
    await hold(scene.general, alice)
    statuses = [answer.status_code for answer in await overwrites(chat)]
    assert sum(status != 409 for status in statuses) == number, statuses


async def test_what_only_adds_or_changes_nothing_goes_on(world: World, scene: Scene) -> None:
    alice = await world.member()
    chat = await a_conversation(alice, "a", "b")
    await hold(scene.general, alice)
    tag = (await alice.http.get(chat.path)).headers["etag"]
    assert await chat.say("c") == [3]
    another = await a_conversation(alice, "d")
    assert (await alice.http.post(f"{another.path}/fork", json={})).status_code == 201
    named = await alice.http.put("/v1/chat-sessions/by-external-id/x", json={})
    assert named.status_code == 201
    items = {"items": [{"type": "message", "role": "user", "content": "e"}]}
    assert (await alice.http.post("/v1/conversations", json=items)).status_code == 200
    key = {"Idempotency-Key": "k"}
    for _ in range(2):
        answer = await alice.http.post("/v1/chat-sessions", json={}, headers=key)
        assert answer.status_code == 201
    # What is not there, another's, outdated or empty is told as ever.
    assert (await chat.edit(1)).status_code == 200
    assert (await chat.cut(99)).json() == {"deleted": 0}
    assert (await chat.delete(99)).status_code == 404
    assert (await chat.delete(1, tag=tag)).status_code == 412
    assert (await chat.of((await world.member()).http).delete(1)).status_code == 404
    assert await chat.read() == {1: "a", 2: "b", 3: "c"}


async def test_whoever_is_not_held_deletes(world: World, scene: Scene) -> None:
    alice, bob = await world.member(), await world.member()
    await hold(scene.general, bob)
    chat = await a_conversation(alice, "a")
    assert (await chat.delete(1)).status_code == 204


async def test_a_deletion_under_way_ends_before_the_hold_is_in_force(scene: Scene) -> None:
    """The flag is read before it is set, the deletion committed after: the relay's lock waits."""
    alice = await scene.a_user(sessions=1)
    async with writer(scene, alice.tenant_id) as early, scene.another() as relay:
        await early.execute(DELETE, alice.tenant_id, alice.user_id)
        await hold(relay, alice)  # does not wait
        with pytest.raises(asyncpg.PostgresError) as late:
            await scene.general.execute(CHECK, alice.tenant_id, alice.user_id)
        assert late.value.sqlstate == OWNER_HELD
        drained = asyncio.create_task(relay.execute(DRAIN, alice.tenant_id, alice.user_id))
        await waits(scene)
        assert not drained.done()
        await early.execute("COMMIT")
        await drained


@pytest.mark.parametrize("ends", ["COMMIT", "ROLLBACK"])
async def test_whoever_meets_the_relay_reads_the_flag_behind_it(scene: Scene, ends: str) -> None:
    """While the relay holds FOR UPDATE, a check waits; then it reads what was committed.

    Both is done here in one transaction. It is the owner's, as set_hold is: on Citus each login has
    a connection of its own to the worker, and two of one transaction would wait for each other.
    """
    alice = await scene.a_user(sessions=1)
    async with (
        writer(scene, alice.tenant_id, "bicameral_owner") as relay,
        writer(scene, alice.tenant_id) as late,
    ):
        await relay.execute(DRAIN, alice.tenant_id, alice.user_id)
        await hold(relay, alice)
        check = asyncio.create_task(late.execute(CHECK, alice.tenant_id, alice.user_id))
        await waits(scene)
        await relay.execute(ends)
        [refused] = await asyncio.gather(check, return_exceptions=True)
        assert isinstance(refused, asyncpg.PostgresError) == (ends == "COMMIT")


async def test_a_late_relay_changes_nothing(scene: Scene) -> None:
    """The relay with the earlier revision of two comes last, and learns of the other."""
    alice = await scene.a_user()
    subject = alice.tenant_id, alice.user_id
    assert await scene.general.fetchval(SET, *subject, True, 1) == 1
    assert await scene.general.fetchval(SET, *subject, False, 2) == 2
    assert await scene.general.fetchval(SET, *subject, True, 1) == 2
    await scene.general.execute(CHECK, *subject)
    assert await scene.general.fetchval(SET, *subject, True, 3) == 3
    with pytest.raises(asyncpg.PostgresError, match="held"):
        await scene.general.execute(CHECK, *subject)


async def test_a_held_owner_is_neither_closed_nor_erased(scene: Scene) -> None:
    """Their deletion was committed when the flag was there yet: it waits for the lift."""
    alice = await scene.a_user(sessions=2)
    await hold(scene.general, alice)
    await scene.delete(alice)
    assert await scene.relay().run_once()
    assert await scene.general.fetchval("SELECT state FROM owners") == "open"
    entry = await scene.entry(alice)
    assert (entry["delivered_rev"] < entry["rev"], entry["receipt"]) == (True, None)
    await hold(scene.general, alice, rev=2)
    await scene.due()
    assert await scene.relay().run_once()
    assert [receipt["chat_sessions"] for receipt in await scene.receipts()] == [2]


@pytest.mark.parametrize(
    "purge",
    [
        "SELECT erase_messages($1, $2, ARRAY[$3::uuid], 0, 100)",
        "SELECT erase_sessions($1, $2, ARRAY[$3::uuid])",
        "SELECT erase_keys($1, $2, 100)",
        "SELECT append_receipt($1, $2)",
    ],
)
async def test_a_closed_owner_who_is_held_loses_nothing_more(scene: Scene, purge: str) -> None:
    """Both databases were restored, perhaps: a purge that began stops where it is."""
    alice = await scene.a_user()
    session = await a_session(scene.general, alice, texts=0 if "sessions($1" in purge else 2)
    await scene.general.execute(
        "INSERT INTO general_idempotency_keys (tenant_id, user_id, key, expires_at)"
        " VALUES ($1, $2, 'k', now())",
        alice.tenant_id,
        alice.user_id,
    )
    if "receipt" in purge:
        await scene.general.execute(DELETE, alice.tenant_id, alice.user_id)
        keys = DELETE.replace("chat_sessions", "general_idempotency_keys")
        await scene.general.execute(keys, alice.tenant_id, alice.user_id)
    await scene.general.execute("SELECT close_owner($1, $2)", alice.tenant_id, alice.user_id)
    await hold(scene.general, alice)
    values = (alice.tenant_id, alice.user_id, session)
    with pytest.raises(asyncpg.PostgresError) as refused:
        await scene.general.execute(purge, *values[: 3 if "$3" in purge else 2])
    assert refused.value.sqlstate == OWNER_HELD
