"""An import restores what was exported: each row, each answer, each ETag."""

from __future__ import annotations

from pathlib import Path

from app.server import create_app
from tests.support.commands import litestar
from tests.support.factories import World, a_message, a_session
from tests.support.life import a_life
from tests.support.moved import Target
from tests.support.servers import alive


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
    for table in ("chat_sessions", "messages"):
        assert await target.said(table) == await target.said(table, before=True)
    for table in ("owners", "keys"):
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
