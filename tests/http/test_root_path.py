"""Under a prefix of a proxy's: every link leads there, whether the proxy strips it or not."""

from __future__ import annotations

import re

import pytest

from app.config.settings import Settings
from app.server import create_app
from tests.support.factories import World
from tests.support.logins import client_at
from tests.support.servers import Servers, alive, settings_for

PREFIX = "/bic"


@pytest.fixture
def prefixed(servers: Servers, database: str) -> Settings:
    return settings_for(servers, database, root_path=PREFIX)


@pytest.mark.parametrize("sent", ["", PREFIX], ids=["stripped", "as it is"])
async def test_every_link_leads_under_the_prefix(prefixed: Settings, sent: str) -> None:
    service = create_app(prefixed)
    async with alive(service):
        world = World(service, client_at(service, "192.0.2.1"))
        admin, doomed = await world.admin(), await world.member()
        page = (await world.nobody.get(f"{sent}/schema")).text
        links = re.findall(r'(?:src|href)="([^"]*)"', page)
        assert len(links) > 4
        for link in links:
            assert link.startswith(f"{PREFIX}/schema/")
            assert (await world.nobody.get(link.removeprefix(PREFIX))).status_code == 200
            assert (await world.nobody.get(link)).status_code == 200
        document = (await world.nobody.get(f"{sent}/schema/openapi.json")).json()
        assert document["servers"] == [{"url": PREFIX}]

        answer = await admin.http.delete(f"{sent}/v1/users/{doomed.id}")
        location = f"{PREFIX}/v1/erasures/{doomed.id}"
        assert (answer.status_code, answer.headers["location"]) == (202, location)
        assert (await admin.http.get(location)).status_code == 200
        tenant = await admin.http.delete(f"{sent}/v1/tenants/{doomed.tenant_id}")
        assert tenant.headers["location"].startswith(f"{PREFIX}/v1/erasures?tenant_id=")
        assert answer.headers["cache-control"] == "no-store"


async def test_without_a_prefix_links_begin_at_the_root(world: World) -> None:
    admin, doomed = await world.admin(), await world.member()
    answer = await admin.http.delete(f"/v1/users/{doomed.id}")
    assert answer.headers["location"] == f"/v1/erasures/{doomed.id}"
    assert (await world.nobody.get(f"{PREFIX}/health/live")).status_code == 404
