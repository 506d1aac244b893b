"""Contents come back as they were sent: texts are compared, not what they mean."""

from __future__ import annotations

import json
import re
from random import Random

import httpx
import pytest

from tests.support.factories import Someone, World, a_session
from tests.support.json_texts import a_string, a_value, an_object, space
from tests.support.opened import opened
from tests.support.servers import Servers

ROLES = ["user", "assistant", "system", "developer", "tool"]
JSON = {"content-type": "application/json"}
PARTS = 60
DECODER = json.JSONDecoder()

MARK = re.compile(r'"role":"[a-z]+","content":')


def a_part(random: Random) -> str:
    """Write a part of a known type, or of the product's own, with whatever else in it."""
    text = a_string(random)
    kinds: list[list[tuple[str, str]]] = [
        [("type", '"text"'), ("text", text)],
        [("type", '"image"'), ("url", text)],
        [("type", '"file"'), ("id", text)],
        [("type", '"tool_call"'), ("id", text), ("name", text), ("arguments", text)],
        [("type", '"tool_result"'), ("tool_call_id", text), ("content", a_value(random))],
        [("type", '"reasoning"')],
        [("type", '"x-9_.y"'), ("text", a_value(random))],
    ]
    members = random.choice(kinds)
    random.shuffle(members)
    return an_object(random, members)


def a_message(random: Random) -> tuple[str, str]:
    """Write a message, and the content that must come back."""
    parts = [a_part(random) for _ in range(random.randint(1, 4))]
    sent = ",".join(f"{space(random)}{part}{space(random)}" for part in parts)
    role = random.choice(ROLES)
    return f'{{"role":"{role}","content":[{sent}]}}', f"[{','.join(parts)}]"


def contents(answer: httpx.Response) -> list[str]:
    """Cut the contents out of an answer, or an export, as the texts that they are."""
    body, found, at = answer.content.decode(), list[str](), 0
    while mark := MARK.search(body, at):
        _, at = DECODER.raw_decode(body, mark.end())
        found.append(body[mark.end() : at])
    return found


async def post(someone: Someone, url: str, body: str, key: str | None = None) -> httpx.Response:
    headers = JSON | ({"Idempotency-Key": key} if key else {})
    answer = await someone.http.post(url, content=body.encode(), headers=headers)
    assert answer.status_code == 201, (answer.text, body)
    return answer


@pytest.mark.parametrize("seed", range(3))
async def test_parts_come_back_as_they_were_sent(world: World, seed: int) -> None:
    """One by one, in a batch, sent again under a key, in pages, forked and exported."""
    random = Random(seed)  # noqa: S311  # keeps no secret
    alice = await world.member()
    session = f"/v1/chat-sessions/{(await a_session(alice))['id']}"
    url = f"{session}/messages"
    sent, wanted = zip(*(a_message(random) for _ in range(PARTS)), strict=True)
    for number, body in enumerate(sent[:20]):
        first, again = [await post(alice, url, body, key=str(number)) for _ in range(2)]
        assert first.content == again.content
        assert (await alice.http.get(f"{url}/{number + 1}")).content == first.content
        assert contents(first) == [wanted[number]]
    batch = f'{{"messages":[{",".join(sent[20:])}]}}'
    first, again = [await post(alice, f"{url}/batch", batch, key="batch") for _ in range(2)]
    assert first.content == again.content
    assert contents(first) == [*wanted[20:]]
    fork = (await post(alice, f"{session}/fork", "{}")).json()["id"]
    for place in (url, f"/v1/chat-sessions/{fork}/messages"):
        for order in ("asc", "desc"):
            page = await alice.http.get(place, params={"limit": 100, "order": order})
            assert contents(page) == [*wanted][:: 1 if order == "asc" else -1]
            page.json()  # which every client reads
    export = await alice.http.get("/v1/me/export")
    assert contents(export) == [one.replace("\n", " ").replace("\r", " ") for one in wanted] * 2
    assert all(map(json.loads, export.content.strip().split(b"\n")))


@pytest.mark.parametrize("seed", range(2))
async def test_a_text_comes_back_whatever_is_in_it(world: World, seed: int) -> None:
    random = Random(seed)  # noqa: S311  # keeps no secret
    alice = await world.member()
    url = f"/v1/chat-sessions/{(await a_session(alice))['id']}/messages"
    texts = [a_string(random).replace('""', '"x"', 1) for _ in range(PARTS)]
    said = ",".join(f'{{"role":"user","content":{text}}}' for text in texts)
    stored = await post(alice, f"{url}/batch", f'{{"messages":[{said}]}}')
    page = await alice.http.get(url, params={"limit": 100, "order": "asc"})
    for answer in (stored, page):
        assert list(map(json.loads, contents(answer))) == list(map(json.loads, texts))


async def test_the_column_has_the_text_of_all_parts(
    world: World, servers: Servers, database: str
) -> None:
    """Whoever searches for words finds them, with U+FFFD for what PostgreSQL cannot store."""
    alice = await world.member()
    url = f"/v1/chat-sessions/{(await a_session(alice))['id']}/messages"
    parts = r"""[{"type":"text","text":"a\u0000b"},{"type":"x","text":"\ud83d\ude00\ud83d"},
        {"type":"y","text":7},{"type":"image","id":"i"}]"""
    for content in (parts, r'"c\ude00\u0000d"', r'"plain \ud83d\ude00"'):
        await post(alice, url, f'{{"role":"user","content":{content}}}')
    async with opened(servers, database) as opener:
        rows = await opener.messages()
    replaced = "\N{REPLACEMENT CHARACTER}"
    assert [(row.content, row.parts is None) for row in rows] == [
        (f"a{replaced}b😀{replaced}", False),
        (f"c{replaced}{replaced}d", False),
        ("plain 😀", True),
    ]
