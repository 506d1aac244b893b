"""Conversations over HTTP: each its owner's, newest first."""

from __future__ import annotations

from uuid import UUID, uuid4

from app.http.paging import Place, cursor_of
from tests.support.factories import World, a_message, a_session
from tests.support.pages import items


async def test_a_session_is_opened_read_renamed_and_deleted(world: World) -> None:
    alice = await world.member()
    session = await a_session(alice, "First")
    assert set(session) == {
        *("id", "title", "message_count", "created_at", "updated_at"),
        *("metadata", "external_id", "last_position", "expires_at", "created_by", "forked_from"),
    }
    assert (UUID(session["id"]).version, session["message_count"]) == (7, 0)
    url = f"/v1/chat-sessions/{session['id']}"
    assert (await alice.http.get(url)).json() == session
    renamed = await alice.http.patch(url, json={"title": "Second"})
    assert (renamed.status_code, renamed.json()["title"]) == (200, "Second")
    assert renamed.json()["updated_at"] > session["updated_at"]
    await a_message(alice, session["id"])
    assert (await alice.http.delete(url)).status_code == 204
    assert (await alice.http.get(url)).status_code == 404
    assert (await alice.http.get(f"{url}/messages")).status_code == 404
    assert (await alice.http.delete(url)).status_code == 404


async def test_a_title_may_be_left_out(world: World) -> None:
    alice = await world.member()
    for body in (None, {}, {"title": None}):
        response = await alice.http.post("/v1/chat-sessions", json=body)
        assert (response.status_code, response.json()["title"]) == (201, "New Conversation")
    bare = await alice.http.post("/v1/chat-sessions")
    assert bare.status_code == 201
    for bad in ("", "x" * 256, 7):
        refused = await alice.http.post("/v1/chat-sessions", json={"title": bad})
        assert refused.status_code == 422, bad


async def test_sessions_are_paged_newest_first(world: World) -> None:
    alice = await world.member()
    opened = [(await a_session(alice, str(number)))["id"] for number in range(5)]
    seen = [session["id"] async for session in items(alice.http, "/v1/chat-sessions")]
    assert seen == opened[::-1]


async def test_a_cursor_from_before_lists_were_ordered_by_time_goes_on(world: World) -> None:
    """It holds an id alone, which may belong to a session that has been deleted since."""
    alice = await world.member()
    opened = [(await a_session(alice, str(number)))["id"] for number in range(4)]
    for deleted in (False, True):
        if deleted:
            assert (await alice.http.delete(f"/v1/chat-sessions/{opened[2]}")).status_code == 204
        query = {"after": cursor_of(Place(None, UUID(opened[2])))}
        page = (await alice.http.get("/v1/chat-sessions", params=query)).json()
        assert [session["id"] for session in page["items"]] == [opened[1], opened[0]], deleted


async def test_any_cursor_of_the_right_form_is_a_place(world: World) -> None:
    """The first of all times and the last that a cursor can name."""
    alice = await world.member()
    await a_session(alice)
    for after, count in (("A" * 31, 0), ("_" * 30 + "8", 1), ("A" * 22, 0), ("_" * 21 + "w", 1)):
        answer = await alice.http.get("/v1/chat-sessions", params={"after": after})
        assert answer.status_code == 200, answer.text
        assert len(answer.json()["items"]) == count, after


async def test_nobody_else_sees_or_touches_a_session(world: World) -> None:
    """An administrator does not either; all they may do is delete the user."""
    alice = await world.member()
    session = await a_session(alice)
    url = f"/v1/chat-sessions/{session['id']}"
    others = [
        await world.member(),
        await world.tenant_admin(),
        await world.someone("\\other\\mallory"),
        await world.admin(),
    ]
    for other in others:
        assert (await other.http.get(url)).status_code == 404
        assert (await other.http.patch(url, json={"title": "x"})).status_code == 404
        assert (await other.http.delete(url)).status_code == 404
        assert (await other.http.get(f"{url}/messages")).status_code == 404
        message = {"role": "user", "content": "x"}
        assert (await other.http.post(f"{url}/messages", json=message)).status_code == 404
        batch = {"messages": [message]}
        assert (await other.http.post(f"{url}/messages/batch", json=batch)).status_code == 404
        assert (await other.http.get("/v1/chat-sessions")).json()["items"] == []
    assert (await alice.http.get(url)).json() == session


async def test_what_is_not_there_is_404_and_a_bad_cursor_422(world: World) -> None:
    alice = await world.member()
    session = await a_session(alice)
    assert (await alice.http.get(f"/v1/chat-sessions/{uuid4()}")).status_code == 404
    assert (await alice.http.get("/v1/chat-sessions/not-a-uuid")).status_code == 404
    sessions_cursor = (await alice.http.get("/v1/chat-sessions", params={"limit": 1})).json()
    assert sessions_cursor["next"] is None
    url = f"/v1/chat-sessions/{session['id']}/messages"
    for after in ("", "x", "!!!", "dTAwMDAwMDAwMDAwMDAwMDA", "a" * 65):
        assert (await alice.http.get(url, params={"after": after})).status_code == 422, after
    assert (await alice.http.get(url, params={"order": "sideways"})).status_code == 422
