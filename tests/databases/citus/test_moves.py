"""A tenant's shard is moved to the other worker while the tenant writes, is sealed or is erased."""

from __future__ import annotations

import asyncio

from app.bridge.erasure.relay import Relay, relay_settings
from app.config.settings import Settings
from app.databases.database import Databases
from app.http.security import Role
from tests.support.cluster import NAME, Writer, differences, environment, move, writers
from tests.support.commands import litestar
from tests.support.factories import World
from tests.support.sealing import master_keys
from tests.support.servers import Servers

MESSAGES = 20


async def one_who_writes(world: World, cluster: Servers) -> Writer:
    [one, *_] = await writers(world, cluster, 1)
    for _ in range(MESSAGES):
        await one.send()
    return one


async def test_no_position_is_lost_or_given_twice(
    world: World, distributed: Servers, settings: Settings
) -> None:
    one = await one_who_writes(world, distributed)
    moving = asyncio.create_task(move(distributed, one.someone.tenant_id))
    await one.write(moving.done)
    await moving
    assert await one.stored() == one.acknowledged
    assert await differences(settings) == []


async def test_an_erasure_ends_with_a_receipt_of_all(
    world: World, distributed: Servers, settings: Settings
) -> None:
    one = await one_who_writes(world, distributed)
    tenant = one.someone.username.split("\\")[1]
    boss = await world.someone(f"\\{tenant}\\boss", Role.TENANT_ADMIN)
    assert (await boss.http.delete(f"/v1/users/{one.someone.id}")).status_code == 202
    relay = Databases.create(relay_settings(settings))
    moving = asyncio.create_task(move(distributed, one.someone.tenant_id))
    erasing = Relay(relay, relay_settings(settings))
    erasure = {"state": "pending"}
    while erasure["state"] != "complete":
        await erasing.run_once()
        erasure = (await boss.http.get(f"/v1/erasures/{one.someone.id}")).json()
    await moving
    await relay.dispose()
    assert (erasure["chat_sessions"], erasure["messages"]) == (1, MESSAGES)
    assert await differences(settings) == []


async def test_what_was_said_is_sealed_and_opened_again(world: World, distributed: Servers) -> None:
    one = await one_who_writes(world, distributed)
    sealed = environment(distributed, NAME) | {"SEAL_KEYS": master_keys("a")}
    for order in ("seal", "unseal"):
        moving = asyncio.create_task(move(distributed, one.someone.tenant_id))
        ended = await litestar("keys", order, env=sealed)
        await moving
        assert ended.code == 0, ended.err
    assert await one.stored() == one.acknowledged
