"""An erasure says from when on nobody can read what a person said, and does not flatter."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.bridge.erasure.receipts import BrokenChainError, export, verify
from app.config.settings import Settings
from tests.support.erasure_scene import Scene
from tests.support.factories import World
from tests.support.logins import superuser
from tests.support.sealing import keys_on
from tests.support.servers import Servers

USER_DAYS, GENERAL_DAYS = 50, 20
SET = "UPDATE wrapped_keys SET plain_until = now() + $1::interval"
KEPT = """
INSERT INTO wrapped_keys (tenant_id, user_id, id, master_id, wrapped, plain_until)
VALUES ($1, $2, gen_random_uuid(), 'a', '', CAST(CAST($3 AS text) AS timestamptz))
"""
DAYS = "UPDATE sealing SET user_backup_kept_days = $1, general_backup_kept_days = $2"
FOR_EVER = "UPDATE wrapped_keys SET plain_until = 'infinity'"


async def erased(
    world: World, settings: Settings, servers: Servers, database: str, plain: timedelta | str | None
) -> dict[str, Any]:
    """Delete somebody with a key whose rows were plain so long ago; 'ever' are so to the end."""
    boss, alice = await world.tenant_admin(), await world.member()
    days = {"user_backup_kept_days": USER_DAYS, "general_backup_kept_days": GENERAL_DAYS}
    keys = keys_on(world.databases, settings.model_copy(update=days), "a")
    await keys.check()
    await keys.key_of(alice.tenant_id, alice.id)
    async with superuser(servers.user.url(database)) as sql:
        if isinstance(plain, timedelta):
            await sql.execute(SET, -plain)
        elif plain == "ever":
            await sql.execute(FOR_EVER)
    assert (await boss.http.delete(f"/v1/users/{alice.id}")).status_code == 202
    # Settings of later apply to those who are deleted later.
    await keys_on(world.databases, settings, "a").check()
    answer = (await boss.http.get(f"/v1/erasures/{alice.id}")).json()
    assert answer in (await boss.http.get("/v1/erasures")).json()["items"]
    return answer


def days(answer: dict[str, Any], since: str | None = None) -> float:
    then = datetime.fromisoformat(answer["unrecoverable_after"])
    start = datetime.fromisoformat(since or answer["key_destroyed_at"])
    return (then - start) / timedelta(days=1)


@pytest.mark.parametrize("plain", [None, timedelta(days=GENERAL_DAYS, minutes=1)])
async def test_whose_plain_rows_no_backup_has_is_sealed(
    world: World, settings: Settings, servers: Servers, database: str, plain: timedelta | None
) -> None:
    answer = await erased(world, settings, servers, database, plain)

    assert answer["sealed"] is True
    assert answer["key_destroyed_at"] == answer["requested_at"]
    assert days(answer) == USER_DAYS


async def test_whose_plain_rows_a_backup_has_is_not(
    world: World, settings: Settings, servers: Servers, database: str
) -> None:
    answer = await erased(world, settings, servers, database, timedelta(days=GENERAL_DAYS - 1))

    assert answer["sealed"] is False
    assert days(answer) == USER_DAYS  # later than the day after, when the last such backup goes


async def test_the_later_of_the_two_counts(
    world: World, settings: Settings, servers: Servers, database: str
) -> None:
    answer = await erased(world, settings, servers, database, timedelta(days=-40))

    assert answer["sealed"] is False
    assert days(answer) == pytest.approx(40 + GENERAL_DAYS, abs=0.01)


async def test_whose_rows_are_plain_to_the_end_waits_for_their_erasure(
    world: World, settings: Settings, servers: Servers, database: str
) -> None:
    answer = await erased(world, settings, servers, database, "ever")

    assert (answer["sealed"], answer["unrecoverable_after"]) == (False, None)
    assert answer["key_destroyed_at"]


async def test_nothing_is_claimed_where_nothing_was_sealed(world: World) -> None:
    boss, alice = await world.tenant_admin(), await world.member()
    assert (await boss.http.delete(f"/v1/users/{alice.id}")).status_code == 202
    answer = (await boss.http.get(f"/v1/erasures/{alice.id}")).json()

    assert answer["sealed"] is False
    assert (answer["key_destroyed_at"], answer["unrecoverable_after"]) == (None, None)
    assert datetime.fromisoformat(answer["requested_at"]) <= datetime.now(UTC)


@pytest.mark.parametrize(("user_days", "general_days"), [(10, 30), (50, 20)])
async def test_the_receipt_says_what_became_of_the_key(
    scene: Scene, user_days: int, general_days: int
) -> None:
    """Backups of rows that were plain to the end count from when the last row was deleted."""
    await scene.user.execute(DAYS, user_days, general_days)
    await scene.user.execute("INSERT INTO master_keys (id, proof) VALUES ('a', '')")
    sealed, plain, never = [await scene.a_user(sessions=1) for _ in range(3)]
    for one, until in ((sealed, None), (plain, "infinity")):
        await scene.user.execute(KEPT, one.tenant_id, one.user_id, until)
    for one in (sealed, plain, never):
        await scene.delete(one)
        assert await scene.relay().run_once()
    chain = [line async for line in export(scene.databases.general)]
    assert verify(chain).receipts == 3
    for line, one in zip(map(json.loads, chain), (sealed, plain, never), strict=True):
        entry = await scene.entry(one)
        assert entry["receipt"] == line["hash"]
        if one is never:
            assert "sealed" not in line
            continue
        assert line["sealed"] is (one is sealed)
        for name in ("key_destroyed_at", "unrecoverable_after"):
            assert datetime.fromisoformat(line[name]) == entry[name]
        days = (entry["unrecoverable_after"] - entry["completed_at"]) / timedelta(days=1)
        expected = max(user_days, general_days) if one is plain else user_days
        assert days == pytest.approx(expected, abs=0.001)
    for name, value in (("sealed", "false"), ("unrecoverable_after", "2020")):
        forged = json.loads(chain[0]) | {name: value}
        with pytest.raises(BrokenChainError):
            verify([json.dumps(forged).encode(), *chain[1:]])
