"""Two relays that claim at the same moment get different people, and neither waits."""

from __future__ import annotations

from uuid import UUID

import pytest

from tests.support.erasure_scene import Scene
from tests.support.logins import superuser

CLAIM = "SELECT user_id FROM claim_erasures(interval '1 minute', $1, $2)"
MOST_SECONDS = 10


@pytest.mark.parametrize("newest", [False, True])
@pytest.mark.parametrize("most", [1, 2])
async def test_claims_that_meet_are_of_different_people(
    scene: Scene, most: int, newest: bool
) -> None:
    tenant_id = await scene.a_tenant()
    people = [(await scene.a_user(tenant_id)).user_id for _ in range(2 * most)]
    await scene.user.execute("DELETE FROM users WHERE id = ANY ($1)", people)
    url = scene.servers.user.url(scene.database)
    claimed: list[UUID] = []
    async with superuser(url) as one, superuser(url) as other, one.transaction():
        for connection in (one, other):
            rows = await connection.fetch(CLAIM, most, newest, timeout=MOST_SECONDS)
            claimed += [row["user_id"] for row in rows]
    assert sorted(claimed) == sorted(people)
