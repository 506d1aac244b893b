"""Lists of conversations: by their last change, by an id of the client's own, by metadata."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from app.chat.metadata import tag
from tests.support.factories import Someone, World, a_message, a_session
from tests.support.pages import items
from tests.support.servers import Servers

SESSIONS = "/v1/chat-sessions"


async def listed(someone: Someone, **query: Any) -> list[str]:
    return [one["id"] async for one in items(someone.http, SESSIONS, **query)]


async def opened(someone: Someone, count: int, **body: Any) -> list[str]:
    answers = [await someone.http.post(SESSIONS, json=body) for _ in range(count)]
    return [one.json()["id"] for one in answers]


async def test_the_one_changed_last_comes_first(world: World) -> None:
    alice = await world.member()
    a, b, c, d, e = await opened(alice, 5)
    await a_message(alice, b)
    await alice.http.patch(f"{SESSIONS}/{d}", json={"metadata": {"a": "b"}})
    await alice.http.patch(f"{SESSIONS}/{a}", json={"title": "First"})
    await alice.http.patch(f"{SESSIONS}/{c}", json={})  # changes nothing
    for limit in (1, 2, 5):
        assert await listed(alice, order="recent", limit=limit) == [a, d, b, e, c]
    assert await listed(alice) == [e, d, c, b, a]
    assert await listed(alice, order="created") == [e, d, c, b, a]


async def test_minutes_come_before_times(world: World, servers: Servers, database: str) -> None:
    """Rows of before a session's minute was noted have that of the upgrade; time decides there."""
    alice = await world.member()
    ids = await opened(alice, 6)
    general = await asyncpg.connect(servers.general.url(database))
    await general.execute("SET session_replication_role = replica")  # past the trigger of today
    for number, one in enumerate(ids):
        await general.execute(
            "UPDATE chat_sessions SET changed_minute = '2026-01-01'::timestamptz"
            " + $1 * interval '1 minute', updated_at = '2026-01-01'::timestamptz"
            " + $2 * interval '1 second' WHERE id = $3",
            *(number // 2, -number, UUID(one)),
        )
    await general.close()
    order = [ids[4], ids[5], ids[2], ids[3], ids[0], ids[1]]
    for limit in (1, 2, 3, 6):
        assert await listed(alice, order="recent", limit=limit) == order


async def test_a_session_that_moves_meanwhile_is_missed_at_most(world: World) -> None:
    alice = await world.member()
    a, b, c, d = await opened(alice, 4)
    first = (await alice.http.get(SESSIONS, params={"order": "recent", "limit": 2})).json()
    assert [one["id"] for one in first["items"]] == [d, c]
    await a_message(alice, b)
    await a_message(alice, d)
    assert await listed(alice, order="recent", after=first["next"]) == [a]


async def test_a_cursor_belongs_to_its_order_and_its_filter(world: World) -> None:
    alice = await world.member()
    await opened(alice, 3, metadata={"a": "b"})
    queries: list[dict[str, Any]] = [
        {},
        {"order": "recent"},
        {"metadata.a": "b"},
        {"order": "recent", "metadata.a": "b"},
    ]
    for query in queries:
        page = (await alice.http.get(SESSIONS, params=query | {"limit": 1})).json()
        for other in queries:
            sent = other | {"after": page["next"]}
            answer = await alice.http.get(SESSIONS, params=sent)
            assert answer.status_code == (200 if other == query else 422), sent
            if answer.status_code == 422:
                assert answer.json()["errors"][0]["path"] == "after"
    unknown = await alice.http.get(SESSIONS, params={"order": "desc"})
    assert (unknown.status_code, unknown.json()["errors"][0]["path"]) == (422, "order")


async def test_metadata_filter_by_a_pair_of_exactly_this_value(world: World) -> None:
    alice, bob = await world.member(), await world.member()
    pairs = {"topic": "travel", "a.b": "c=d&e", "näme": "ü", "empty": "", "nul": "\x00"}
    full = await opened(alice, 3, metadata=pairs)
    await opened(alice, 1, metadata={"topic": "Travel", "travel": "topic"})
    await opened(bob, 1, metadata=pairs)
    for key, value in pairs.items():
        for order in ("created", "recent"):
            query = {f"metadata.{key}": value, "order": order}
            assert await listed(alice, **query) == full[::-1], query
    for query in ({"metadata.topic": "trave"}, {"metadata.Topic": "travel"}, {"metadata.x": ""}):
        assert await listed(alice, **query) == []
    await alice.http.patch(f"{SESSIONS}/{full[1]}", json={"metadata": {"topic": "other"}})
    assert await listed(alice, **{"metadata.topic": "travel"}) == [full[2], full[0]]
    escaped = await alice.http.get(f"{SESSIONS}?metadata%2Etopic=other")
    assert [one["id"] for one in escaped.json()["items"]] == [full[1]]


async def test_a_pair_with_anothers_tag_is_not_taken_for_it(
    world: World, servers: Servers, database: str
) -> None:
    alice = await world.member()
    (one,) = await opened(alice, 1, metadata={"a": "b"})
    (other,) = await opened(alice, 1, metadata={"c": "d"})
    general = await asyncpg.connect(servers.general.url(database))
    await general.execute("UPDATE chat_sessions SET metadata_tags = $1", [tag("a", "b")])
    await general.close()
    assert await listed(alice, limit=1, **{"metadata.a": "b"}) == [one]
    assert other in await listed(alice)


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ({"metadata.": "x"}, "metadata."),
        ({"metadata." + "k" * 65: "x"}, "metadata." + "k" * 65),
        ({"metadata.k": "v" * 513}, "metadata.k"),
        ({"metadata.a": ["b", "c"]}, "metadata.a"),
        ({"metadata.a": "b", "metadata.c": "d"}, "metadata.c"),
        ({"metadata.a": "b", "external_id": "x"}, "metadata.a"),
        ({"external_id": ""}, "external_id"),
        ({"external_id": ".."}, "external_id"),
        ({"metadata": "a"}, "metadata"),
        ({"metadatA.a": "b"}, "metadatA.a"),
    ],
)
async def test_a_filter_that_is_none_is_refused_in_words(
    world: World, query: dict[str, Any], path: str
) -> None:
    alice = await world.member()
    await a_session(alice)
    answer = await alice.http.get(SESSIONS, params=query)
    assert answer.status_code == 422, answer.text
    (error,) = answer.json()["errors"]
    assert (error["path"], "`" in error["message"]) == (path, False)
    elsewhere = await alice.http.get("/v1/me", params={"metadata.a": "b"})
    assert elsewhere.status_code == 422  # a route that has no such filter
    assert await listed(alice, external_id=str(uuid4())) == []
