"""Reconcile reads more users than a page holds: each of them once, in each of its readings."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from app.bridge.reconcile.differences import Key, Kind
from app.bridge.reconcile.readings import PAGE, Readings
from tests.support.differences import erased, erasure_undone, owner_gone, past_all_guards
from tests.support.erasure_scene import Scene

SMALL = 2


class Read(NamedTuple):
    suspects: list[Key]
    kinds: dict[Key, Kind]
    pending: int


async def read(scene: Scene, page: int) -> Read:
    """Take all readings of whoever differs, in one order; whoever watches sees how far it is."""
    steps: list[tuple[int, int]] = []

    async def watch(stage: str, done: int, total: int) -> None:
        if stage == "users":
            steps.append((done, total))

    readings = Readings(scene.databases, page=page, watch=watch)
    suspects = [key async for keys in readings.suspects() for key in keys]
    people = await scene.general.fetchval("SELECT count(*) FROM owners")
    assert {total for _, total in steps} == {people}
    assert steps[-1][0] <= people
    return Read(
        sorted(suspects),
        await readings.differences(suspects),
        await readings.pending(suspects),
    )


@pytest.mark.parametrize("page", [1, SMALL, 3])
async def test_small_pages_find_what_one_page_finds(scene: Scene, page: int) -> None:
    """Five of each kind, so that every reading takes three pages or more."""
    undone = [await erasure_undone(scene) for _ in range(5)]
    gone = [await owner_gone(scene) for _ in range(5)]
    for _ in range(5):
        await erased(scene)
        await scene.a_user(sessions=1)
    expected = await read(scene, PAGE)
    keys = {Key(one.tenant_id, one.user_id) for one in (*undone, *gone)}
    assert keys <= expected.kinds.keys()
    assert await read(scene, page) == expected


async def test_those_who_wait_are_counted_on_every_page(scene: Scene) -> None:
    subjects = [await scene.a_user(sessions=1) for _ in range(5)]
    for subject in subjects:
        await scene.delete(subject)
    keys = [Key(one.tenant_id, one.user_id) for one in subjects]
    assert await Readings(scene.databases, page=SMALL).pending(keys) == 5


async def test_databases_that_agree_have_equal_digests(scene: Scene) -> None:
    """Nobody is read once more where nothing differs, whoever else their tenant has."""
    one = await erased(scene)
    another = await scene.a_user(one.tenant_id, sessions=1)
    await scene.delete(another)
    assert await scene.relay().run_once()
    ledger = await scene.user.fetch("SELECT * FROM ledger_digest() ORDER BY bucket")
    owners = await scene.general.fetch("SELECT * FROM owner_digest() ORDER BY bucket")
    assert len(ledger) == 3
    assert [tuple(row) for row in owners] == [tuple(row) for row in ledger]


async def test_rows_without_an_owner_are_found_whoever_else_is_there(scene: Scene) -> None:
    tenant_id = await scene.a_tenant()
    alice, _ = [await scene.a_user(tenant_id, sessions=1) for _ in range(2)]
    async with past_all_guards(scene.general):
        await scene.general.execute("DELETE FROM owners WHERE user_id = $1", alice.user_id)
    suspects = await scene.general.fetch("SELECT user_id FROM owner_suspects()")
    assert [row["user_id"] for row in suspects] == [alice.user_id]
