"""One database restored from a backup, and mended by one `litestar reconcile --repair`."""

from __future__ import annotations

import pytest

from tests.support.commands import litestar, urls
from tests.support.differences import erased, reconciler
from tests.support.erasure_scene import Scene, Subject
from tests.support.restores import back_up, restore


async def test_a_general_database_restored_to_before_erasures_is_mended(scene: Scene) -> None:
    """The ledger says they were delivered; the backup has all they said."""
    bystander, early = await scene.a_user(sessions=2), await erased(scene)
    subjects = [await scene.a_user(sessions=n) for n in range(4)]
    await back_up(scene, "general")
    await erase(scene, subjects)
    await restore(scene, "general")
    assert await sessions(scene, subjects) == 6
    await one_repair_mends(scene, [early, *subjects], differences=4)
    assert await sessions(scene, [bystander]) == 2


async def test_a_user_database_restored_to_before_deletions_is_mended(scene: Scene) -> None:
    """The receipts prove the deletions; the backup has the users and their tokens."""
    bystander, early = await scene.a_user(sessions=2), await erased(scene)
    subjects = [await scene.a_user(sessions=n) for n in range(4)]
    await back_up(scene, "user")
    born_later = await erased(scene, neighbours=0)
    await erase(scene, subjects)
    chain = await scene.receipts()
    await restore(scene, "user")
    await one_repair_mends(scene, [early, *subjects, born_later], differences=5)
    assert await sessions(scene, [bystander]) == 2
    assert await scene.receipts() == chain


async def test_a_user_database_restored_to_before_a_pending_erasure_is_mended(scene: Scene) -> None:
    """The relay had closed the owner and no more: proof enough, it closes for nothing else."""
    subject = await scene.a_user(sessions=3)
    await back_up(scene, "user")
    await scene.delete(subject)

    class Died(BaseException): ...

    async def dies(commit: str) -> None:
        if commit == "close":
            raise Died

    with pytest.raises(Died):
        await scene.relay(hook=dies).run_once()
    await restore(scene, "user")
    await one_repair_mends(scene, [subject], differences=1)


async def test_a_user_created_after_the_backup_may_be_kept(scene: Scene) -> None:
    """Nobody can log in as them: they are erased, unless the operator hopes for a later backup."""
    known = await scene.a_user(sessions=1)
    await back_up(scene, "user")
    stranger = await scene.a_user(sessions=2)
    await restore(scene, "user")
    env = urls(scene.servers, scene.database)
    ended = await litestar("reconcile", "--repair", "--keep-strangers", env=env)
    line = f"stranger: tenant {stranger.tenant_id}, user {stranger.user_id}: "
    assert (ended.code, ended.out.splitlines()) == (
        1,
        [
            line + "an owner whom the user database never knew",
            "1 differences could not be mended.",
        ],
    )
    assert await sessions(scene, [stranger]) == 2
    await one_repair_mends(scene, [stranger], differences=1)
    assert await sessions(scene, [known]) == 1


async def test_a_user_database_that_never_knew_anybody_has_no_say(scene: Scene) -> None:
    """Most likely the URL is wrong."""
    await back_up(scene, "user")
    subjects = [await scene.a_user(sessions=1) for _ in range(3)]
    await restore(scene, "user")
    ended = await litestar("reconcile", "--repair", env=urls(scene.servers, scene.database))
    assert ended.code == 1
    assert await sessions(scene, subjects) == 3


async def one_repair_mends(scene: Scene, gone: list[Subject], *, differences: int) -> None:
    env = urls(scene.servers, scene.database)
    assert len(await reconciler(scene).find()) == differences
    after = await litestar("reconcile", "--repair", env=env)
    assert after.code == 0, after
    assert after.out.count("(mended)\n") == differences
    assert after.out.endswith("The databases agree.\n")
    assert await reconciler(scene).find() == frozenset()
    assert await scene.orphans() == 0
    receipts = {row["user_id"]: row["hash"] for row in await scene.receipts()}
    for subject in gone:
        entry = await scene.entry(subject)
        assert (entry["state"], entry["receipt"]) == ("deleted", receipts[subject.user_id])
    there = await scene.user.fetch("SELECT id FROM users WHERE id = ANY ($1)", ids(gone))
    assert there == []


async def erase(scene: Scene, subjects: list[Subject]) -> None:
    for subject in subjects:
        await scene.delete(subject)
    while await scene.relay().run_once():
        pass


async def sessions(scene: Scene, subjects: list[Subject]) -> int:
    statement = "SELECT count(*) FROM chat_sessions WHERE user_id = ANY ($1)"
    return int(await scene.general.fetchval(statement, ids(subjects)) or 0)


def ids(subjects: list[Subject]) -> list[object]:
    return [subject.user_id for subject in subjects]
