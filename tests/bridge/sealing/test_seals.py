"""A long command seals whom it comes to after somebody has switched sealing on."""

from __future__ import annotations

from datetime import timedelta

from app.bridge.sealing.seals import Seals
from app.config.settings import Settings
from tests.support.factories import World
from tests.support.sealed import SESSIONS, asked
from tests.support.sealing import keys_on, master_keys


async def test_sealing_that_begins_meanwhile_is_heeded(world: World, settings: Settings) -> None:
    alice = await world.member()
    await asked(alice, "POST", SESSIONS, {})  # the installation is not new, so nothing begins
    known = settings.model_dump() | {"seal_keys": master_keys("a")}
    seals = Seals(world.databases, Settings.model_validate(known))
    await seals.check()
    assert (await seals.writing(alice.tenant_id, alice.id)).key is None
    await keys_on(world.databases, settings, "a").begin(timedelta())
    await seals.look()
    assert (await seals.writing(alice.tenant_id, alice.id)).key is not None
