"""An import restores what was exported: each row, each answer, each ETag."""

from __future__ import annotations

import json
from pathlib import Path

from app.server import create_app
from tests.support import openai_wire as wire
from tests.support.commands import litestar
from tests.support.factories import Someone, World, a_message, a_session
from tests.support.moved import Target
from tests.support.servers import alive

JSON = {"content-type": "application/json"}
# As they are sent; the API stores each byte of them.
ODD_CONTENTS = [
    r'"Ærlig \"talt\" \\ / \n\r\t \u2028 🌍"',
    r'"\u0000 and half \ud83d of it"',
    '[{"type":"text",\r\n "text":"a\\r\\nb"},\n{"type":"x.y","n":[1.10,1e400],"z":"\\u0000"}]',
    r'[{"b":1,"type":"image","a":"\ud83d","url":"u"}]',
]


async def a_life(alice: Someone) -> list[str]:
    """Write whatever can be written; return the paths under which it is read."""
    first = await a_session(alice, "first")
    path = f"/v1/chat-sessions/{first['id']}"
    for content in ODD_CONTENTS:
        body = f'{{"role":"user","content":{content},"metadata":{{"k":"\\u0000"}}}}'
        answer = await alice.http.post(f"{path}/messages", content=body, headers=JSON)
        assert answer.status_code == 201, answer.text
    said = {"role": "assistant", "content": "told", "client_id": "turn-1", "status": "in_progress"}
    assert (await alice.http.post(f"{path}/messages", json=said)).status_code == 201
    for number in range(3):
        await a_message(alice, first["id"], f"{number}")
    edit = {"content": "mended", "status": "incomplete"}
    assert (await alice.http.patch(f"{path}/messages/6", json=edit)).status_code == 200
    assert (await alice.http.delete(f"{path}/messages/7")).status_code == 204
    change = {
        "title": "named",
        "metadata": {"topic": "travel", "z": "1"},
        "external_id": "thread-1",
        "expires_at": "2100-01-31T09:30:00.5Z",
    }
    assert (await alice.http.patch(path, json=change)).status_code == 200
    fork = await alice.http.post(f"{path}/fork", json={"position": 3})
    assert fork.status_code == 201
    await a_session(alice, "empty")
    items = [wire.MESSAGE, wire.CALL, wire.OUTPUT, wire.REASONING, json.loads("{}") | {"type": "y"}]
    conversation = await wire.opened(alice, *items)
    odd = f'{{"items":[{wire.ODD}]}}'
    url = f"/v1/conversations/{conversation}/items"
    assert (await alice.http.post(url, content=odd, headers=JSON)).status_code == 200
    sessions = [path, f"/v1/chat-sessions/{fork.json()['id']}"]
    return [
        *sessions,
        *(f"{one}/messages?order=asc" for one in sessions),
        *("/v1/chat-sessions", "/v1/chat-sessions?order=recent", "/v1/conversations"),
        "/v1/chat-sessions?metadata.topic=travel",
        "/v1/chat-sessions?external_id=thread-1",
        f"{url}?order=asc",
        f"/v1/conversations/{wire.session_of(conversation)}",
    ]


async def test_what_was_moved_is_what_it_was(world: World, target: Target, tmp_path: Path) -> None:
    alice, other = await world.member(), await world.someone("\\other\\bob")
    paths = await a_life(alice)
    await a_message(other, (await a_session(other))["id"], "not hers")
    await world.member()  # who says nothing
    file = tmp_path / "export"

    made = await target.export(file)
    assert made.code == 0, made
    assert file.stat().st_mode & 0o777 == 0o600
    done = await target.import_(file)
    assert (done.code, done.err) == (0, ""), done
    assert done.out == (
        "Imported 17 messages in 5 conversations of 2 people; 0 were here already;"
        " 0 were refused.\n"
    )
    for table in ("chat_sessions", "messages", "owners"):
        assert await target.rows(table) == await target.rows(table, before=True)

    moved = create_app(target.settings)
    async with alive(moved):
        hers = World(moved, world.nobody).same(alice)
        for path in paths:
            before, after = await alice.http.get(path), await hers.http.get(path)
            assert (after.status_code, after.content) == (before.status_code, before.content)
            assert after.headers.get("etag") == before.headers.get("etag")
    agreed = await litestar("reconcile", env=target.env)
    assert agreed.out == "The databases agree.\n", agreed

    again = await target.import_(file)
    assert again.out == (
        "Imported 0 messages in 0 conversations of 0 people; 2 were here already; 0 were refused.\n"
    )
