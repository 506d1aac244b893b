"""A person writes whatever can be written."""

from __future__ import annotations

from tests.support import openai_wire as wire
from tests.support.factories import Someone, a_message, a_session

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
    items = [wire.MESSAGE, wire.CALL, wire.OUTPUT, wire.REASONING, {"type": "y"}]
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
