"""A restored user database brings back tokens, blocks, passwords and keys of before."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.bridge.heartbeats import beat
from app.config.settings import Settings
from app.server import create_app
from tests.support.api_keys import a_backend
from tests.support.backups import OPEN_TO_ALL, back_up, restored, rows
from tests.support.commands import litestar, urls
from tests.support.differences import deletion_undone
from tests.support.erasure_scene import Scene
from tests.support.factories import PASSWORD, World, a_session
from tests.support.restores import back_up as copy
from tests.support.restores import restore
from tests.support.servers import alive

AT_ONCE = timedelta()
NEW = "a louder corner of the library"
ENDED = (
    "SELECT target_id FROM audit_events WHERE action = 'token.ended' AND actor_type = 'operator'"
)


@pytest.mark.slow
async def test_the_page_is_followed_and_nobody_is_logged_in_with_a_token_of_before(
    scene: Scene, world: World, tmp_path: Path
) -> None:
    """Nor does anybody come back who was deleted. Whose password, block or key may be old is
    listed; the backup cannot tell what is so.
    """
    gone = await scene.a_user(sessions=1)
    boss, alice, bob, carol = await world.tenant_admin(), *[await world.member() for _ in range(3)]
    people = (boss, alice, bob, carol)
    kept = await world.log_in(alice.username)
    backend = await a_backend(world, boss, "tokens")
    await a_session(alice)
    minted = await backend.http.post(f"/v1/users/{bob.id}/tokens", json={"expires_in": 3600})
    assert minted.status_code == 201, minted.text
    await beat(scene.databases, AT_ONCE)
    await back_up(scene, tmp_path)

    passwords = {"current_password": PASSWORD, "new_password": NEW}
    answers = [
        await alice.http.post("/v1/auth/logout"),
        await boss.http.post(f"/v1/users/{bob.id}/block"),
        await carol.http.put("/v1/me/password", json=passwords),
        await boss.http.delete(f"/v1/api-keys/{backend.id}"),
    ]
    assert [answer.is_success for answer in answers] == [True] * 4
    await scene.delete(gone)
    assert await scene.relay().run_once()
    await beat(scene.databases, AT_ONCE)

    tokens = [token_of(alice.http), kept, token_of(bob.http), minted.json()["access_token"]]
    async with restored(scene, tmp_path, ["user"]) as (addresses, out):
        users = await rows(addresses["USER_ADMIN_URL"], "SELECT id FROM users")
        owners = await rows(addresses["GENERAL_ADMIN_URL"], "SELECT user_id FROM chat_sessions")
        assert await rows(addresses["USER_ADMIN_URL"], OPEN_TO_ALL) == []
        assert (sorted(users), owners) == (sorted(one.id for one in people), [alice.id])
        assert "user_database_restored: from 20" in out
        assert f"{len(tokens) + 2} access tokens were ended, minted ones too.\n" in out
        assert out.endswith("The databases agree.\n")
        listed = [line for line in out.splitlines() if line.startswith("may be old: ")]
        for one in people:
            assert sum(f"user {one.id}, as of 20" in line for line in listed) == 1
        assert sum(f"API key {backend.id}, as of 20" in line for line in listed) == 1
        assert len(listed) == 5
        own = {name.lower(): url for name, url in addresses.items() if "ADMIN" not in name}
        app = create_app(Settings.model_validate({"relay": False, **own}))
        async with alive(app):
            again = World(app, again_nobody(app))
            for token in tokens:
                answer = await again.with_token(token).get("/v1/me")
                assert answer.status_code == 401
            assert await again.log_in(carol.username)  # the old password, as is listed
            second = await litestar("reconcile", env=addresses)
            assert (second.code, second.out) == (0, "The databases agree.\n")


def again_nobody(app: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://bicameral")


def token_of(http: httpx.AsyncClient) -> str:
    return http.headers["authorization"].removeprefix("Bearer ")


async def test_tokens_end_where_a_restore_is_proved_and_nowhere_else(
    scene: Scene, world: World
) -> None:
    alice = await world.member()
    env = urls(scene.servers, scene.database)
    await beat(scene.databases, AT_ONCE)
    healthy = await litestar("reconcile", "--repair", env=env)
    assert (healthy.code, healthy.out) == (0, "The databases agree.\n")
    assert (await alice.http.get("/v1/me")).status_code == 200
    chosen = await litestar("reconcile", "--repair", "--end-tokens", env=env)
    assert chosen.code == 0
    assert chosen.out.startswith("1 access tokens were ended, minted ones too.\nmay be old: ")
    assert (await alice.http.get("/v1/me")).status_code == 401
    ended = [row[0] for row in await scene.user.fetch(ENDED)]
    assert ended == [alice.id]
    wrong = await litestar("reconcile", "--end-tokens", env=env)
    assert (wrong.code, wrong.out) == (2, "")


async def test_a_deletion_that_the_user_database_does_not_know_proves_it_too(
    scene: Scene, world: World
) -> None:
    """This is so where no relay of this version has run yet."""
    alice = await world.member()
    await deletion_undone(scene)
    env = urls(scene.servers, scene.database)
    ended = await litestar("reconcile", "--repair", "--json", env=env)
    assert ended.code == 0
    assert json.loads(ended.out)["tokens_ended"] == 2
    assert (await alice.http.get("/v1/me")).status_code == 401


async def test_the_list_is_of_everybody_or_of_whom_something_is_known_since(
    scene: Scene, world: World
) -> None:
    """Either database may know something of somebody."""
    silent, talks, changed = [await world.member() for _ in range(3)]
    await a_session(talks)  # their key, if they have one, is in the copy
    await beat(scene.databases, AT_ONCE)
    await scene.user.execute("UPDATE users SET updated_at = now() - interval '1 day'")
    await scene.user.execute("UPDATE audit_events SET at = now() - interval '1 day'")
    await copy(scene, "user")
    moment = datetime.now(UTC).isoformat()
    await a_session(talks)
    await beat(scene.databases, AT_ONCE)
    await restore(scene, "user")
    statement = "UPDATE users SET updated_at = now() WHERE id = $1"
    await scene.user.execute(statement, changed.id)
    env = urls(scene.servers, scene.database)
    assert await listed(env) == {str(one.id) for one in (silent, talks, changed)}
    assert await listed(env, "--since", moment) == {str(one.id) for one in (talks, changed)}
    lines = (await litestar("reconcile", "--repair", "--since", moment, env=env)).out.splitlines()
    assert sum("may be old: " in line for line in lines) == 2
    again = await litestar("reconcile", "--repair", env=env)
    assert (again.code, again.out) == (0, "The databases agree.\n")
    assert len(await listed(env, "--since", moment, code=0)) == 2


async def listed(env: dict[str, str], *words: str, code: int = 1) -> set[str]:
    ended = await litestar("reconcile", "--json", *words, env=env)
    assert ended.code == code, ended
    return {person["id"] for person in json.loads(ended.out)["may_be_old"]["people"]}


@pytest.mark.parametrize("moment", ["yesterday", "2026-11-26", "2026-11-26T12:00:00"])
async def test_a_moment_without_its_zone_is_wrong_usage(scene: Scene, moment: str) -> None:
    ended = await litestar("reconcile", "--since", moment, env=urls(scene.servers, scene.database))
    assert (ended.code, ended.out) == (2, "")
