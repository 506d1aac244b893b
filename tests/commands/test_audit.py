"""`litestar audit export` writes every event once, and goes on where an earlier export ended."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from app.commands.audit import ROWS
from tests.support.commands import litestar, urls
from tests.support.factories import World
from tests.support.servers import Servers, run

MANY = """
INSERT INTO audit_events (tenant_id, actor_type, action, target_type)
SELECT '{tenant}', 'operator', 'user.changed', 'user' FROM generate_series(1, {count})
"""
FIELDS = {"id", "at", "actor", "on_behalf_of", "action", "target", "request_id"}


def lines(text: str | bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


async def test_every_event_is_written_once_oldest_first(
    world: World, servers: Servers, database: str, tmp_path: Path
) -> None:
    boss, other = await world.tenant_admin(), await world.tenant_admin("other")
    tenants = (boss.tenant_id, other.tenant_id)
    for tenant in tenants:
        await run(servers.user, MANY.format(tenant=tenant, count=ROWS), database)
    env = urls(servers, database)
    file = tmp_path / "events"
    ended = await litestar("audit", "export", str(file), env=env)
    assert (ended.code, ended.out) == (0, ""), ended
    every = lines(file.read_bytes())
    ids = [event["id"] for event in every]
    assert ids == sorted(set(ids))
    assert ended.err == f"{len(ids)} audit events written to {file}.\n"
    assert len(ids) == 2 * ROWS + 6  # a tenant, a user and a login for each
    assert all(event.keys() == FIELDS for event in every)

    half = str(ids[ROWS])
    rest = lines((await litestar("audit", "export", "--after", half, env=env)).out)
    assert rest == every[ROWS + 1 :]
    own = lines((await litestar("audit", "export", "--tenant", "acme", env=env)).out)
    assert len(own) == ROWS + 3
    listed = (await boss.http.get("/v1/audit-events")).json()["items"]
    assert own[::-1][: len(listed)] == listed


async def test_what_cannot_be_written_is_one_line(
    servers: Servers, database: str, tmp_path: Path
) -> None:
    env = urls(servers, database)
    unknown = await litestar("audit", "export", "--tenant", "nowhere", env=env)
    assert (unknown.code, unknown.out) == (1, "")
    assert unknown.line == "bicameral: There is no tenant named nowhere."
    nowhere = tmp_path / "no" / "file"
    ended = await litestar("audit", "export", str(nowhere), env=env)
    assert ended.code == 1
    assert ended.line == f"bicameral: {nowhere}: No such file or directory"
