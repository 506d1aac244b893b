"""Access tokens that have reached their end are deleted wherever a relay runs, and no others."""

from __future__ import annotations

import asyncio
from secrets import token_bytes

from app.bridge.erasure import expiry
from tests.support.erasure_scene import Scene, Subject
from tests.support.logins import superuser

TOKEN = """
INSERT INTO access_tokens (digest, tenant_id, user_id, expires_at)
VALUES ($1, $2, $3, now() + make_interval(secs => $4))
"""


async def give_tokens(scene: Scene, whom: Subject, *seconds: float) -> None:
    """Give tokens that end so many seconds from now."""
    rows = [(token_bytes(32), whom.tenant_id, whom.user_id, float(one)) for one in seconds]
    await scene.user.executemany(TOKEN, rows)


async def ends(scene: Scene) -> list[int]:
    """List in how many minutes each token ends, in order."""
    minutes = "SELECT round(extract(epoch FROM expires_at - now()) / 60)::int FROM access_tokens"
    return sorted(row[0] for row in await scene.user.fetch(minutes))


async def test_tokens_that_have_ended_go_in_batches_and_those_that_live_stay(scene: Scene) -> None:
    alice, bob = await scene.a_user(), await scene.a_user()
    await give_tokens(scene, alice, *[0] * (2 * expiry.ROWS), -3600, 60, 3600)
    await give_tokens(scene, bob, -60, 7200)
    await expiry.expire(scene.databases.user, expiry.TOKENS)
    assert await ends(scene) == [1, 60, 120]


async def test_one_call_deletes_no_more_than_it_is_told_and_the_longest_ended_first(
    scene: Scene,
) -> None:
    await give_tokens(scene, await scene.a_user(), -60, -120, -180, 60)
    assert await scene.user.fetchval("SELECT expire_tokens(2)") == 2
    assert await ends(scene) == [-1, 1]
    assert await scene.user.fetchval("SELECT expire_tokens(2)") == 1
    assert await scene.user.fetchval("SELECT expire_tokens(2)") == 0


async def test_a_token_that_somebody_holds_is_passed_by(scene: Scene) -> None:
    await give_tokens(scene, await scene.a_user(), -60, -120)
    url = scene.servers.user.url(scene.database)
    async with superuser(url) as holder, holder.transaction():
        await holder.execute("SELECT FROM access_tokens LIMIT 1 FOR UPDATE")
        await expiry.expire(scene.databases.user, expiry.TOKENS)
        assert len(await ends(scene)) == 1
    await expiry.expire(scene.databases.user, expiry.TOKENS)
    assert await ends(scene) == []


async def test_wherever_a_relay_runs_ended_tokens_go(scene: Scene) -> None:
    """Keys that cannot be swept do not keep the tokens waiting."""
    await scene.user.execute("ALTER TABLE user_idempotency_keys RENAME TO gone")
    alice = await scene.a_user()
    relay = scene.relay(idempotency_sweep_seconds=0.01, relay_listen=False)
    running = asyncio.create_task(relay.run())
    try:
        for _ in range(2):
            await give_tokens(scene, alice, -60, 3600)
            async with asyncio.timeout(30):
                while -1 in await ends(scene):
                    assert not running.done()
    finally:
        running.cancel()
        await asyncio.wait({running})
    assert await ends(scene) == [60, 60]
