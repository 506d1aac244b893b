"""`Idempotency-Key` over HTTP, on every route that creates."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import event

from app.http.idempotency import HEADER
from app.http.problems import PROBLEM_JSON
from tests.support.factories import World, a_session
from tests.support.idempotency import MESSAGE, ROUTES, Rows, a_request
from tests.support.logins import world_on
from tests.support.servers import Servers, settings_for

BAD = [b"", b" ", b"x" * 256, "schlüssel".encode(), b"\xff", b"a\tb", b"a\x00b", b"a\n"]

LEFT = "SELECT expires_at - now() FROM {}_idempotency_keys WHERE user_id = $1"


@pytest.mark.parametrize("route", ROUTES)
async def test_a_retry_is_answered_alike_and_creates_nothing(
    world: World, rows: Rows, route: str
) -> None:
    request = await a_request(world, route)
    first = await request.send("k")
    there = await rows.of(route)
    again = await request.send("k")
    assert first.status_code == again.status_code == 201, again.text
    assert first.content == again.content
    assert first.headers["content-type"] == again.headers["content-type"]
    assert (await rows.of(route), await rows.keys(request.by)) == (there, 1)
    other = await request.send("another") if route != "tenant" else first
    assert other.status_code == (409 if route == "user" else 201)
    assert await rows.of(route) == there + {"session": 1, "message": 1, "batch": 3}.get(route, 0)


@pytest.mark.parametrize("route", ROUTES)
async def test_an_answer_is_the_same_with_a_key_and_without(world: World, route: str) -> None:
    with_key = await (await a_request(world, route)).send("k")
    without = await (await a_request(world, route)).send()
    assert list(with_key.json()) == list(without.json())
    for name in ("content-type", "cache-control"):
        assert with_key.headers[name] == without.headers[name]


@pytest.mark.parametrize("route", ROUTES)
async def test_control_without_a_key_a_retry_creates_again(
    world: World, rows: Rows, route: str
) -> None:
    request = await a_request(world, route)
    assert (await request.send()).status_code == 201
    there = await rows.of(route)
    again = await request.send()
    unique = route in ("tenant", "user")
    assert again.status_code == (409 if unique else 201)
    assert (await rows.of(route) == there) == unique
    assert await rows.keys(request.by) == 0


async def test_a_retry_is_answered_as_it_was_then(world: World) -> None:
    """Whatever was changed since."""
    session, user = await a_request(world, "session"), await a_request(world, "user")
    opened, created = await session.send("k"), await user.send("k")
    renamed = await session.by.http.patch(
        f"{session.path}/{opened.json()['id']}", json={"title": "Other"}
    )
    moved = await user.by.http.patch(
        f"/v1/users/{created.json()['id']}", json={"email": "other@example.org"}
    )
    assert (renamed.status_code, moved.status_code) == (200, 200)
    assert (await session.send("k")).content == opened.content
    assert (await user.send("k")).content == created.content


OTHER: dict[str, dict[str, Any]] = {
    "tenant": {"name": "another"},
    "user": {"password": "another quiet corner of it"},
    "session": {"title": "Another"},
    "message": {"role": "assistant"},
    "batch": {"messages": [MESSAGE] * 2},
}


@pytest.mark.parametrize("route", ROUTES)
async def test_another_body_under_the_same_key_is_refused(
    world: World, rows: Rows, route: str
) -> None:
    request = await a_request(world, route)
    await request.send("k")
    there = await rows.of(route)
    answer = await request.send("k", **OTHER[route])
    _is_problem(answer, 422)
    assert answer.json()["errors"][0]["path"] == HEADER
    assert await rows.of(route) == there


async def test_another_route_under_the_same_key_is_refused(world: World) -> None:
    """Each database has keys of its own: one for a user and one for a session are two."""
    message = await a_request(world, "message")
    assert (await message.send("k")).status_code == 201
    elsewhere = await a_request(world, "message", message.by)
    session = await a_request(world, "session", message.by)
    for request in (elsewhere, session):
        _is_problem(await request.send("k"), 422)
    tenant = await a_request(world, "tenant")
    assert (await tenant.send("k")).status_code == 201
    _is_problem(await (await a_request(world, "user", tenant.by)).send("k"), 422)


async def test_the_same_json_is_the_same_body(world: World, rows: Rows) -> None:
    message = await a_request(world, "message")
    written = [b'{"role":"user","content":"A"}', b'{ "content": "\\u0041", "role": "user" }']
    there = await rows.of("message")
    headers = {HEADER: "k", "Content-Type": "application/json"}
    answers = [
        await message.by.http.post(message.path, content=body, headers=headers) for body in written
    ]
    assert answers[0].content == answers[1].content
    assert await rows.of("message") == there + 1


async def test_somebody_elses_equal_key_is_another_key(world: World, rows: Rows) -> None:
    """Somebody else is in the same tenant, or in another one."""
    people = [await world.member(), await world.member(), await world.someone("\\globex\\x")]
    answers = [await (await a_request(world, "session", one)).send("k") for one in people]
    assert [answer.status_code for answer in answers] == [201] * 3
    assert len({answer.json()["id"] for answer in answers}) == 3
    assert [await rows.keys(one) for one in people] == [1, 1, 1]


@pytest.mark.parametrize("key", BAD)
@pytest.mark.parametrize("route", ["tenant", "session"])
async def test_a_bad_key_is_refused(world: World, rows: Rows, route: str, key: bytes) -> None:
    request = await a_request(world, route)
    there = await rows.of(route)
    headers = [(HEADER.encode(), key)]
    answer = await request.by.http.post(request.path, json=request.body, headers=headers)
    _is_problem(answer, 422)
    assert [error["path"] for error in answer.json()["errors"]] == [HEADER]
    assert await rows.of(route) == there


async def test_a_bad_key_is_named_where_the_body_may_be_left_out(world: World) -> None:
    request = await a_request(world, "session")
    _is_problem(await request.by.http.post(request.path, headers={HEADER: ""}), 422)


async def test_white_space_around_a_key_is_no_part_of_it(world: World) -> None:
    request = await a_request(world, "session")
    assert (await request.send("k")).content == (await request.send(" k  ")).content


async def test_a_key_sent_twice_is_refused(world: World) -> None:
    request = await a_request(world, "session")
    headers = [(HEADER, "a"), (HEADER, "a")]
    _is_problem(await request.by.http.post(request.path, headers=headers), 422)


@pytest.mark.parametrize("key", ["x" * 255, " !~", '"quoted, as the draft has it"'])
async def test_any_printable_key_is_taken(world: World, key: str) -> None:
    request = await a_request(world, "session")
    assert (await request.send(key)).content == (await request.send(key)).content


async def test_an_error_stores_nothing(world: World, rows: Rows) -> None:
    """Whoever corrects the request sends it under the same key."""
    alice, root = await world.member(), await world.admin()
    session = await a_session(alice)
    nowhere = {HEADER: "k"}
    path = f"/v1/chat-sessions/{root.id}/messages"
    assert (await alice.http.post(path, json=MESSAGE, headers=nowhere)).status_code == 404
    taken = await a_request(world, "user", root)
    assert (await taken.send("k", username=root.username)).status_code == 409
    assert (await taken.send("k", password="short")).status_code == 422
    assert await rows.keys(alice) == await rows.keys(root) == 0
    path = f"/v1/chat-sessions/{session['id']}/messages"
    assert (await alice.http.post(path, json=MESSAGE, headers=nowhere)).status_code == 201
    assert (await taken.send("k")).status_code == 201
    assert await rows.keys(alice) == await rows.keys(root) == 1


@pytest.mark.parametrize(("route", "name"), [("session", "general"), ("user", "user")])
async def test_a_key_is_kept_for_as_long_as_the_setting_says(
    servers: Servers, database: str, rows: Rows, route: str, name: str
) -> None:
    async with world_on(settings_for(servers, database, idempotency_kept_seconds=600)) as world:
        request = await a_request(world, route)
        await request.send("k")
    left = await getattr(rows, name).fetchval(LEFT.format(name), request.by.id)
    assert timedelta() < left <= timedelta(seconds=600)


async def test_an_expired_key_is_as_if_it_had_never_been(world: World, rows: Rows) -> None:
    request = await a_request(world, "session")
    there = await rows.of("session")
    first = await request.send("k")
    await rows.expire(request.by)
    second = await request.send("k", title="Another")
    assert second.status_code == 201
    assert second.json()["id"] != first.json()["id"]
    assert (await request.send("k", title="Another")).content == second.content
    assert (await rows.of("session"), await rows.keys(request.by)) == (there + 2, 1)


async def test_without_a_key_no_statement_looks_for_one(world: World) -> None:
    """Without one no session at all; with one, a look before and the answer after."""
    request = await a_request(world, "message")
    asked: list[str] = []
    engine = world.databases.general.engine.sync_engine

    def note(_: Any, __: Any, statement: str, *___: Any) -> None:
        asked.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    await request.send()
    assert asked == []
    await request.send("k")
    event.remove(engine, "before_cursor_execute", note)
    assert len(asked) == 3


async def test_every_route_that_creates_documents_the_header(client: httpx.AsyncClient) -> None:
    document = (await client.get("/schema/openapi.json")).json()
    documented = {
        operation["operationId"]
        for item in document["paths"].values()
        for operation in item.values()
        for parameter in operation.get("parameters", ())
        if (parameter["name"], parameter["in"]) == (HEADER, "header")
        and not parameter.get("required")
        and {"409", "422"} <= operation["responses"].keys()
    }
    chat = {"chat_session", "message", "messages", "conversation", "items"}
    names = {f"create_{name}" for name in chat | {"tenant", "user"}}
    assert documented == names | {"fork_chat_session"}


def _is_problem(answer: httpx.Response, status: int) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == PROBLEM_JSON
