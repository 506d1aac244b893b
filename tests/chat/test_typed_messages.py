"""Roles, parts, metadata and status of messages; what is refused, and in which words."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.api_keys import a_backend
from tests.support.factories import Someone, World, a_session

MiB = 1 << 20
MISSING, A_STRING = "This field is missing; send it.", "Send a string."
REFUSED: list[tuple[Any, str, str]] = [
    ([{"type": "text"}], "content[0].text", MISSING),
    ([{"type": "x"}, {"type": "text", "text": 1}], "content[1].text", A_STRING),
    ([{"type": "image"}], "content[0]", "Send its `url` or its `id`, a string."),
    ([{"type": "file", "url": None}], "content[0]", "Send its `url` or its `id`, a string."),
    ([{"type": "tool_call", "id": "", "name": ""}], "content[0].arguments", MISSING),
    (
        [{"type": "tool_call", "id": "", "name": "", "arguments": {}}],
        "content[0].arguments",
        A_STRING,
    ),
    ([{"type": "tool_result", "content": 1}], "content[0].tool_call_id", MISSING),
    ([{"type": "tool_result", "tool_call_id": "1"}], "content[0].content", MISSING),
    ([{"typ": "text"}], "content[0].type", MISSING),
    ([{"type": None}], "content[0].type", "Send a string, not null."),
    ([{"type": "x" * 65}], "content[0].type", "Send at most 64 characters."),
    (
        [{"type": "X"}],
        "content[0].type",
        "Send a type of the characters a-z, 0-9, `_`, `.` and `-`.",
    ),
    (["text"], "content[0]", "Send an object, not a string."),
    ([], "content", "Send at least 1 item."),
    ([{"type": "x"}] * 257, "content", "Send at most 256 items."),
]


def url_of(session: dict[str, Any]) -> str:
    return f"/v1/chat-sessions/{session['id']}/messages"


async def test_a_message_has_all_that_was_sent(world: World) -> None:
    alice = await world.member()
    url = url_of(await a_session(alice))
    sent = {
        "role": "assistant",
        "content": [{"type": "tool_call", "id": "1", "name": "n", "arguments": "{}"}],
        "metadata": {"b": "", "a": "\x00 ä"},
        "client_id": "turn-1",
        "status": "in_progress",
    }
    stored = (await alice.http.post(url, json=sent)).json()
    assert {name: stored[name] for name in sent} == sent
    assert list(stored["metadata"]) == ["b", "a"]
    assert stored["created_by"] is None
    assert stored["updated_at"] == stored["created_at"]
    plain = (await alice.http.post(url, json={"role": "developer", "content": "x"})).json()
    assert (plain["metadata"], plain["client_id"], plain["status"]) == ({}, None, "completed")
    assert (await alice.http.get(url)).json()["items"] == [plain, stored]


async def test_a_part_that_lacks_what_its_type_has_is_refused(world: World) -> None:
    alice = await world.member()
    url = url_of(await a_session(alice))
    for content, path, words in REFUSED:
        message = {"role": "user", "content": content}
        for sent, prefix in ((message, ""), ({"messages": [message]}, "messages[0].")):
            answer = await alice.http.post(url + "/batch" * bool(prefix), json=sent)
            assert answer.status_code == 422, content
            errors = [(one["path"], one["message"]) for one in answer.json()["errors"]]
            assert errors == [(prefix + path, words)]
    assert (await alice.http.get(url)).json()["items"] == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"role":"user","content":[{"type":"x","y":' + b"[" * 58 + b"]" * 58 + b"}]}", 201),
        (b'{"role":"user","content":[{"type":"x","y":' + b"[" * 59 + b"]" * 59 + b"}]}", 422),
        (b'{"role":"user","content":[{"type":"x","y":"' + b"[" * 99 + b'"}]}', 201),
        (b'{"role":"user","content":' + b"[" * 100_000 + b"]" * 100_000 + b"}", 400),
        (b'{"role":"user","content":[{"type":"x","y":"\xff"}]}', 400),
        (b'{"role":"user","content":[{"type":"x","y":"\xed\xa0\x80"}]}', 400),
        (b'{"role":"user","content":[{"type":"x","y":NaN}]}', 400),
        (b'{"role":"user","content":[{"type":"x","y":01}]}', 400),
        (b'{"role":"user","content":[{"type":"x","y":"\\ud83d" 1}]}', 400),
        (b'{"role":"user","content":"x","metadata":{"\\ud83d":""}}', 422),
        (b'{"role":"user","content":"x","client_id":"\\ud83d"}', 422),
    ],
    ids=str,
)
async def test_hostile_json_is_answered(world: World, body: bytes, status: int) -> None:
    """A deep one is refused in words where clients could not read it, and crashes nothing."""
    alice = await world.member()
    headers = {"content-type": "application/json"}
    url = url_of(await a_session(alice))
    for key in ({}, {"Idempotency-Key": "k"}):
        answer = await alice.http.post(url, content=body, headers=headers | key)
        assert answer.status_code == status, answer.text
    assert (await alice.http.get(url)).status_code == 200


async def test_a_message_is_at_most_a_mebibyte_however_it_is_written(world: World) -> None:
    alice = await world.member()
    url = url_of(await a_session(alice))

    async def post(body: str, path: str = "") -> int:
        headers = {"content-type": "application/json"}
        answer = await alice.http.post(url + path, content=body.encode(), headers=headers)
        return answer.status_code

    def message(text: str) -> str:
        return f'{{"role":"user","content":[{{"type":"text","text":"{text}"}}]}}'

    room = MiB - len(message(""))
    most = message("x" * room)
    assert await post(most) == 201
    assert await post(f" {most}\n") == 201
    assert await post(message("x" * (room + 1))) == 413
    assert await post(message(r"\u0041" * room)) == 201
    assert await post(message(r"\u0041" * (room + 1))) == 413
    assert await post(message("\\\\" * (room // 2) + r"\ud83d\ude00" * (room // 8))) == 201
    assert await post(message(r"\ud83d\ude00" * (room // 4 + 1))) == 413
    assert await post(message(r"\ud83d" * (room // 3))) == 201
    assert await post(f'{{"messages":[{most},{most}]}}', "/batch") == 201
    assert await post(f'{{"messages":[{most},{message("x" * (room + 1))}]}}', "/batch") == 413
    before = {"😀": 201, "x": 201}  # 262,144 characters, whatever their bytes
    for character, status in before.items():
        text = character * 262_144
        assert await post(f'{{"role":"user","content":"{text}"}}') == status
    assert await post(f'{{"role":"user","content":"{"😀" * 262_145}"}}') == 413
    assert len((await alice.http.get(url, params={"limit": 1})).json()["items"]) == 1


async def test_an_api_key_is_named_as_the_writer(world: World) -> None:
    backend = await a_backend(world, await world.tenant_admin())
    alice = await world.member()
    theirs = backend.acting_for(alice.id)
    session = (await theirs.post("/v1/chat-sessions", json={})).json()
    url = url_of(session)
    one = (await theirs.post(url, json={"role": "system", "content": "x"})).json()
    body = {"messages": [{"role": "tool", "content": "y"}]}
    [two] = (await theirs.post(f"{url}/batch", json=body)).json()["items"]
    mine = (await alice.http.post(url, json={"role": "user", "content": "z"})).json()
    assert [m["created_by"] for m in (one, two, mine)] == [str(backend.id), str(backend.id), None]
    page = (await alice.http.get(url)).json()["items"]
    assert page == [mine, two, one]


async def appended(someone: Someone, url: str, tag: str | None, number: int = 0) -> Any:
    headers = {"If-Match": tag} if tag else {}
    body = {"role": "user", "content": f"message {number}"}
    return await someone.http.post(url, json=body, headers=headers)


async def test_of_many_writers_who_have_seen_the_same_one_wins(world: World) -> None:
    alice = await world.member()
    url = url_of(await a_session(alice))
    for turn in range(3):
        tag = (await alice.http.get(url)).headers["etag"]
        answers = await asyncio.gather(*(appended(alice, url, tag, n) for n in range(20)))
        statuses = sorted(answer.status_code for answer in answers)
        assert statuses == [201] + [412] * 19
        page = await alice.http.get(url)
        assert len(page.json()["items"]) == turn + 1
        assert {answer.headers["etag"] for answer in answers} == {page.headers["etag"]}
        assert page.headers["etag"] != tag


async def test_if_match_is_one_tag_or_any(world: World) -> None:
    alice = await world.member()
    url = url_of(await a_session(alice))
    tag = (await alice.http.get(url)).headers["etag"]
    for bad in ("x", f"{tag}, {tag}", '"', " "):
        assert (await appended(alice, url, bad)).status_code == 400, bad
    assert (await appended(alice, url, '"another"')).status_code == 412
    first = await appended(alice, url, f"W/{tag}")
    assert first.status_code == 201
    assert (await appended(alice, url, "*")).status_code == 201
    batch = {"messages": [{"role": "user", "content": str(n)} for n in range(3)]}
    now = (await alice.http.get(url)).headers["etag"]
    stored = await alice.http.post(f"{url}/batch", json=batch, headers={"If-Match": now})
    assert stored.headers["etag"] == (await alice.http.get(url)).headers["etag"]
    late = await alice.http.post(f"{url}/batch", json=batch, headers={"If-Match": now})
    assert (late.status_code, late.headers["etag"]) == (412, stored.headers["etag"])
    bob = await world.member()
    assert (await appended(bob, url, "*")).status_code == 404
    assert (await appended(bob, url, now)).status_code == 404
