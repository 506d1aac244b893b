"""The relay brings every hold of the user database into force in the general one, and every lift.

    placed ──▶ set ──▶ drain ──▶ acknowledge      lifted ──▶ set ──▶ acknowledge

(a) `set` commits `owners.held`. Whoever deletes or overwrites and reads the flag from then on is
    refused; they read it under FOR KEY SHARE of the owner (check_overwrite).
(b) Whoever read it before may commit yet. `drain` locks the owner FOR UPDATE, which conflicts with
    their lock: it returns when all of them have ended.
(c) `acknowledge` writes `in_force_since`, in the user database's clock.

The effect comes first and the mark second: whatever a crash, a lost reply or a second relay
interrupts is done again. Nothing is claimed: any number of relays may deliver the same hold. One
that comes late, when the hold was lifted meanwhile, has an earlier revision, which `set_hold` and
`acknowledge_hold` pass by.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from uuid import UUID

from sqlalchemy import text

from app.bridge.erasure.subject_rows import LOCK_OWNERS
from app.bridge.erasure.wake import Bell
from app.bridge.holds.outbox import Delivery, Outbox
from app.bridge.hooks import Hook, go_on
from app.databases.causes import describe, is_away
from app.databases.database import Database, Databases
from app.databases.sessions import GeneralSession
from app.telemetry import log

SET = text("SELECT set_hold(:tenant_id, :user_id, :is_held, :rev)")


async def drain(general: Database[GeneralSession], tenant_id: UUID, user_id: UUID) -> None:
    """Wait for every transaction that read the owner's flag before it was set."""
    async with general.session(tenant_id) as session:
        await session.execute(LOCK_OWNERS, {"tenant_id": tenant_id, "user_ids": [user_id]})


Drain = Callable[[Database[GeneralSession], UUID, UUID], Awaitable[None]]


class HoldRelay:
    """Delivers what is pending: `run_once` all of it, `run` again and again.

    `hook` is called with a name after each commit, and `drain` may be left out: with them tests
    stop a relay anywhere, or take a guard away.
    """

    def __init__(
        self, databases: Databases, *, hook: Hook | None = None, drain: Drain = drain
    ) -> None:
        self._general = databases.general
        self._reached = hook or go_on
        self._drain = drain
        self.outbox = Outbox(databases.user)

    async def run(self, bell: Bell, poll_seconds: float) -> None:
        """Work until cancelled, woken by the bell. Rings it for erasures that waited for a lift."""
        while True:
            rung = bell.next()
            try:
                if await self.run_once():
                    bell.ring()
                    continue
            except Exception as error:  # noqa: BLE001  a relay never gives up
                log.warning("holds_wait", **describe(error))
            await bell.wait(rung, poll_seconds)

    async def run_once(self) -> int:
        """Deliver a page of what is pending, and return how many deliveries did not fail.

        One that fails keeps none of the others waiting. Raises what a database says that is away.
        """
        done = 0
        for delivery in await self.outbox.pending():
            try:
                await self._deliver(delivery)
                done += 1
            except Exception as error:
                if is_away(error):
                    raise
                log.error("hold_failed", user_id=str(delivery.user_id), **describe(error))
        return done

    async def _deliver(self, delivery: Delivery) -> None:
        seen = await self._set(delivery)
        await self._reached("set")
        if seen > delivery.rev:  # late, or the user database was restored to before it
            await self.outbox.outrun(delivery, seen)
            await self._reached("outrun")
            return
        if delivery.is_held:
            await self._drain(self._general, delivery.tenant_id, delivery.user_id)
            await self._reached("drain")
        if await self.outbox.acknowledge(delivery):
            log.info("hold_delivered", user_id=str(delivery.user_id), is_held=delivery.is_held)
        await self._reached("acknowledge")

    async def _set(self, delivery: Delivery) -> int:
        async with self._general.session(delivery.tenant_id) as session:
            seen: int = await session.scalar(SET, delivery._asdict())
            return seen
