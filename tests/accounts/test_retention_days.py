"""A platform administrator says for how long a tenant's conversations are kept."""

from __future__ import annotations

import pytest

from tests.support.factories import World
from tests.support.servers import Servers


async def test_a_tenants_retention_is_set_shown_and_taken_back(
    world: World, servers: Servers, database: str
) -> None:
    root = await world.admin()
    tenant = (await root.http.post("/v1/tenants", json={"name": "fresh"})).json()
    assert tenant["retention_days"] is None
    place = f"/v1/tenants/{tenant['id']}"
    for days in (36_500, 1, 1, None):
        answer = await root.http.patch(place, json={"retention_days": days})
        assert (answer.status_code, answer.json()) == (200, tenant | {"retention_days": days})
        assert (await root.http.get(place)).json()["retention_days"] == days
        page = (await root.http.get("/v1/tenants")).json()
        assert tenant | {"retention_days": days} in page["items"]
    await root.http.patch(place, json={"retention_days": 30})
    assert (await root.http.patch(place, json={})).json()["retention_days"] == 30
    events = (await root.http.get(f"/v1/audit-events?target={tenant['id']}")).json()["items"]
    told = [(one["action"], one["actor"]["id"]) for one in events]
    changed = ("tenant.retention_changed", str(root.id))
    assert told == [*4 * [changed], ("tenant.created", str(root.id))]  # none for 1 after 1


@pytest.mark.parametrize(
    "body",
    [
        *({"retention_days": days} for days in (0, -1, 36_501, 1.5, "30", True, [30])),
        *({"name": "renamed"}, {"retention_days": 30, "unknown": 1}),
    ],
)
async def test_a_retention_that_cannot_be_changes_nothing(
    world: World, body: dict[str, object]
) -> None:
    root = await world.admin()
    place = f"/v1/tenants/{root.tenant_id}"
    assert (await root.http.patch(place, json=body)).status_code in (400, 422)
    assert (await root.http.get(place)).json()["retention_days"] is None


async def test_only_the_platform_sets_it_and_only_where_there_is_a_tenant(world: World) -> None:
    root, boss = await world.admin(), await world.tenant_admin()
    body = {"retention_days": 30}
    refused = await boss.http.patch(f"/v1/tenants/{boss.tenant_id}", json=body)
    assert refused.status_code == 403
    missing = await root.http.patch(f"/v1/tenants/{boss.id}", json=body)
    assert missing.status_code == 404
