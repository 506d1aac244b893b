"""The commands of the page about moving do what it says, as they stand there."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from app.bridge.erasure.relay import Relay
from app.bridge.holds.relay import HoldRelay
from tests.support.commands import pasted, urls
from tests.support.factories import World, a_message, a_session
from tests.support.moved import Target
from tests.support.servers import ROOT, Servers

PAGE = (ROOT / "app" / "bridge" / "importing" / "README.md").read_text()
DRILLS = dict(re.findall(r"(?ms)^<!-- drill: (\w+) -->\n```bash\n(.*?)^```$", PAGE))

NOTHING: Mapping[str, str] = {}


async def follow(
    drill: str, folder: Path, env: dict[str, str], words: Mapping[str, str] = NOTHING
) -> str:
    commands = re.sub(r"(\w+\.ndjson)", rf"{shlex.quote(str(folder))}/\1", DRILLS[drill])
    for word, other in words.items():
        commands = commands.replace(word, other)
    return await pasted(commands, env)


@pytest.mark.slow
async def test_following_the_page_moves_everybody(
    world: World, target: Target, servers: Servers, database: str, tmp_path: Path
) -> None:
    """Nothing of whoever was deleted is in the file; the new database hears of it, and of holds."""
    alice, gone = await world.member(), await world.member()
    for someone in (alice, gone):
        await a_message(someone, (await a_session(someone))["id"])
    boss = await world.tenant_admin()
    held = await boss.http.put(f"/v1/users/{alice.id}/hold", json={"reason": "a case"})
    assert held.status_code == 202
    await HoldRelay(world.databases).run_once()
    await world.operators.delete_user(gone.username)
    assert await Relay(world.databases, target.settings).run_once()
    await follow("export", tmp_path, urls(servers, database))
    await target.make_anew()
    out = await follow("import", tmp_path, target.env | target.owners)
    assert "Imported 1 messages in 1 conversations of 1 people" in out
    assert out.endswith("The databases agree.\n")
    for table in ("messages", "chat_sessions", "owners"):
        assert await target.rows(table) == await target.rows(table, before=True)
    there = {"ssh other.example.org litestar": f"{sys.executable} -m litestar"}
    out = await follow("tenant", tmp_path, target.env, there)
    assert "0 people; 1 were here already" in out
