"""The worker that has a tenant's rows is computed as PostgreSQL and Citus compute it."""

from __future__ import annotations

from uuid import UUID, uuid4

import asyncpg

from app.databases.shards import Shards, uuid_hash
from tests.support.servers import Servers

TENANTS = [UUID(int=0), UUID(int=2**128 - 1), *(uuid4() for _ in range(500))]
HASHES = "SELECT uuid_hash(u) FROM unnest($1::uuid[]) WITH ORDINALITY AS t (u, n) ORDER BY n"
LEAST = -(2**31)


async def test_an_id_has_the_hash_that_the_server_gives_it(servers: Servers) -> None:
    sql = await asyncpg.connect(servers.general.url())
    try:
        hashes = [row[0] for row in await sql.fetch(HASHES, TENANTS)]
    finally:
        await sql.close()
    assert [uuid_hash(one) for one in TENANTS] == hashes


def test_a_tenant_is_on_the_worker_whose_shard_has_its_hash() -> None:
    for tenant in TENANTS:
        here = uuid_hash(tenant)
        bounds = {LEAST: 1, here: 2, min(here + 1, 2**31 - 1): 3}
        assert Shards(sorted(bounds.items())).worker_of(tenant) == bounds[here]


def test_with_one_worker_nothing_is_shared() -> None:
    assert Shards([(LEAST, 7), (0, 7)]).worker_of(TENANTS[0]) is None
    assert Shards([]).worker_of(TENANTS[0]) is None
