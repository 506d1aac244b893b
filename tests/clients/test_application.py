"""The page "Building an application on it", run as it stands there, on a running service."""

from __future__ import annotations

import json
import re
from pathlib import Path
from uuid import UUID
from zlib import crc32

from app.accounts.keys import new_key
from tests.support.api_keys import a_key
from tests.support.doors import KEY_SCOPES
from tests.support.factories import World
from tests.support.generators import NODE, node, python
from tests.support.servers import ROOT

SECTION = (
    (ROOT / "app" / "accounts" / "README.md")
    .read_text()
    .split("## Building an application on it")[1]
    .split("\n## ")[0]
)
USED = """
import json

PEOPLE = {"u-1001": "Where is it warm?", "org/7%": "Is it far?"}
seen = {}
for person, text in PEOPLE.items():
    assert welcome(person) == welcome(person)
    conversation = open_conversation(person, "Holiday")
    say(person, conversation, "user", text)
    say(person, conversation, "assistant", "Let me see.")
    seen[person] = {
        "id": welcome(person),
        "conversation": conversation,
        "read": read(person, conversation),
        "token": token_for(person),
    }
one, other = seen
try:
    read(one, seen[other]["conversation"])
except httpx.HTTPStatusError as error:
    seen["foreign"] = error.response.status_code
print(json.dumps(seen))
"""
FORGOTTEN = """
before = welcome("u-1001")
forget("u-1001")
try:
    open_conversation("u-1001", "too late")
except httpx.HTTPStatusError as error:
    print(error.response.status_code, before, welcome("u-1001"))
"""
CALLED = "\nconsole.log(JSON.stringify(await say(...process.argv.slice(2))));\n"


def code(language: str) -> str:
    [block] = re.findall(rf"(?s)```{language}\n(.*?)```", SECTION)
    return block


def scopes() -> list[str]:
    return re.findall(r"--scope (\S+)", code("bash"))


async def test_the_backend_of_the_page_serves_many_people(
    world: World, address: str, tmp_path: Path
) -> None:
    """Its key has the scopes that the page asks for, and no others."""
    made = await a_key(await world.tenant_admin(), *scopes())
    told = {"BICAMERAL_URL": address, "BICAMERAL_KEY": made["key"]}
    said = await python("-c", code("python") + USED, folder=tmp_path, **told)
    seen = json.loads(said.out)
    assert seen.pop("foreign") == 404
    assert seen["u-1001"]["read"] == ["Where is it warm?", "Let me see."]
    assert seen["org/7%"]["read"] == ["Is it far?", "Let me see."]
    assert len({one["id"] for one in seen.values()}) == 2
    await _browser(world, address, tmp_path, **seen["u-1001"])
    said = await python("-c", code("python") + FORGOTTEN, folder=tmp_path, **told)
    status, before, after = said.out.split()
    assert (status, UUID(before)) == ("404", UUID(seen["u-1001"]["id"]))
    assert UUID(after) != UUID(before)


async def _browser(
    world: World, address: str, folder: Path, *, token: str, conversation: str, **_: object
) -> None:
    """The person's own token reads their conversation; the page's script writes to it."""
    device, path = world.with_token(token), f"/v1/chat-sessions/{conversation}/messages"
    as_assistant = {"role": "assistant", "content": "Not from a browser."}
    assert (await device.post(path, json=as_assistant)).status_code == 403
    if NODE.exists():
        script = folder / "browser.mjs"
        script.write_text(code("js") + CALLED)
        said = await node(str(script), address, token, conversation, "Hello", folder=folder)
        assert json.loads(said.out)["role"] == "user"
        assert (await device.get(path)).json()["items"][0]["content"] == "Hello"


def test_the_page_has_every_scope() -> None:
    assert re.findall(r"(?m)^\| `([a-z:]+)` \|", SECTION) == list(KEY_SCOPES)


def test_scanners_find_a_key_as_the_page_says() -> None:
    [pattern] = re.findall(r"`(bic_key_\[.*?)`", SECTION)
    key = new_key()
    assert re.fullmatch(pattern, key)
    assert key[-8:] == f"{crc32(key[:-8].encode()):08x}"


def test_the_backend_is_short() -> None:
    """Empty lines and documentation aside."""
    lines = [line for line in code("python").splitlines() if line.strip()]
    assert len([line for line in lines if '"""' not in line]) <= 35
