"""People with another key than the one that seals their words are listed, and get no new one."""

from __future__ import annotations

from uuid import UUID

from app.bridge.reconcile.differences import Difference, Kind
from app.bridge.reconcile.sealed_keys import lost_keys
from tests.support.differences import reconciler
from tests.support.erasure_scene import Scene

KEY = """
INSERT INTO wrapped_keys (tenant_id, user_id, id, master_id, wrapped) VALUES ($1, $2, $3, 'a', '')
"""
OWNER = "UPDATE owners SET key_id = $3 WHERE tenant_id = $1 AND user_id = $2"


async def test_owners_with_another_key_are_listed(scene: Scene) -> None:
    await scene.user.execute("INSERT INTO master_keys (id, proof) VALUES ('a', '')")
    people = [await scene.a_user(sessions=1) for _ in range(5)]
    right, other, none, plain, deleted = people
    for one, sealed, kept in ((right, 1, 1), (other, 2, 3), (none, 4, 0), (deleted, 5, 5)):
        await scene.general.execute(OWNER, one.tenant_id, one.user_id, UUID(int=sealed))
        if kept:
            await scene.user.execute(KEY, one.tenant_id, one.user_id, UUID(int=kept))
    await scene.delete(deleted)
    expected = {Difference(Kind.KEY_LOST, one.tenant_id, one.user_id) for one in (other, none)}
    assert plain not in (other, none)
    assert await lost_keys(scene.databases, page=2) == expected
    outcome = await reconciler(scene).repair()
    assert outcome.left == expected
    assert await scene.general.fetchval("SELECT count(key_id) FROM owners") == 4
