"""A database that is away, or a wrong setting, is not a difference: monitors tell them apart."""

from __future__ import annotations

import pytest

from app.databases.connection import DATABASES, DatabaseName
from tests.support.commands import litestar, urls
from tests.support.differences import rows_of_a_stranger
from tests.support.erasure_scene import Scene
from tests.support.outages import stopped
from tests.support.pgbouncer import only_directly
from tests.support.service import environment

NOT_COMPARED = 3


@only_directly("a stopped server is behind PgBouncer, which waits for it")
@pytest.mark.parametrize("name", DATABASES)
async def test_a_database_that_is_away_is_no_difference(scene: Scene, name: DatabaseName) -> None:
    """Nor is anything said about the two, whatever else is wrong with them."""
    await rows_of_a_stranger(scene)
    env = urls(scene.servers, scene.database)
    differ = await litestar("reconcile", env=env)
    assert (differ.code, len(differ.out.splitlines())) == (1, 2)
    async with stopped(getattr(scene.servers, name), scene.database):
        for words in (("reconcile",), ("reconcile", "--repair"), ("reconcile", "--json")):
            ended = await litestar(*words, env=env)
            assert (ended.code, ended.out) == (NOT_COMPARED, "")
            assert ended.line.startswith("bicameral: ")
        check = await litestar("database", "check", "--bind-key", name, env=env)
        assert check.code == NOT_COMPARED
        assert f"{name} database: away: " in check.err


async def test_a_login_that_is_refused_is_no_difference(scene: Scene) -> None:
    env = environment(scene.settings)
    env["DATABASE_URL_USER"] = scene.servers.user.url(scene.database, "nobody_there")
    ended = await litestar("reconcile", env=env)
    assert (ended.code, ended.out) == (NOT_COMPARED, "")
