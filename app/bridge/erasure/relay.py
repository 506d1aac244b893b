"""The relay brings every deletion of the user database to the general one, and its receipt back.

Those of one tenant are done together, up to a hundred with each commit. Any number of relays may
run, with no leader. The effect comes first and the mark second: whatever a crash, a lost reply or a
second relay interrupts is done again, and doing it again changes nothing.
No transaction is open in one database while the other is worked on.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from uuid import UUID

from app.bridge.erasure import lag, metrics, steps
from app.bridge.erasure.expiry import expire_for_ever
from app.bridge.erasure.ledger import Claim, LeaseLostError, Ledger
from app.bridge.erasure.steps import Batch, Step, Work
from app.bridge.erasure.wake import Bell, listen
from app.bridge.heartbeats import beat_for_ever
from app.bridge.holds.relay import HoldRelay
from app.bridge.hooks import Hook, go_on
from app.bridge.retention.sweeper import Sweeper
from app.config.settings import Settings
from app.databases.causes import OWNER_HELD, describe, is_away, sqlstate
from app.databases.database import Databases
from app.telemetry import log
from app.telemetry.pools import watching

FIRST_PAUSE_SECONDS = 0.05


class AwayError(Exception):
    """A database is away."""


class TurnOverError(Exception):
    """These erasures take long; others go before the rest of them."""


class Relay:
    """Erases deleted users: `run_once` some of one tenant, `run` again and again.

    `hook` is called with a name after each commit and before each pause; `sequence` is the steps
    before the receipt. With them tests stop a relay anywhere, or leave out a guard.
    """

    def __init__(
        self,
        databases: Databases,
        settings: Settings,
        *,
        sequence: Sequence[Step] = steps.STEPS,
        hook: Hook | None = None,
    ) -> None:
        self._databases = databases
        self._settings = settings
        self._sequence = sequence
        self._reached = hook or go_on
        self.ledger = Ledger(databases.user, settings)
        self.holds = HoldRelay(databases)
        self.bell = Bell()
        self._claims_newest = True

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            if self._settings.relay_listen:
                tasks.create_task(listen(self._settings, self.bell))
            tasks.create_task(expire_for_ever(self._databases, self._settings))
            tasks.create_task(Sweeper(self._databases, self._settings).run())
            tasks.create_task(self.holds.run(self.bell, self._settings.relay_poll_seconds))
            tasks.create_task(beat_for_ever(self._databases, self._settings))
            for _ in range(self._settings.relay_workers):
                tasks.create_task(self._work())

    async def _work(self) -> None:
        pause = 0.0
        while True:
            rung = self.bell.next()  # before looking, so that a ring in between is not missed
            try:
                found = await self.run_once()
                pause = 0.0
            except Exception as error:  # noqa: BLE001  a relay never gives up
                longest = self._settings.relay_away_max_seconds
                pause = min(max(2 * pause, FIRST_PAUSE_SECONDS), longest)
                log.warning("relay_waits", seconds=pause, **describe(error))
                await self._reached("away")
                await asyncio.sleep(pause)
                continue
            if not found:
                await self.bell.wait(rung, self._settings.relay_poll_seconds)

    async def run_once(self) -> int:
        """Claim pending erasures of one tenant and do them; return how many were claimed.

        Raises AwayError if the general database is away, and whatever the user database raises.
        """
        claim = await self._claim()
        if claim is None:
            return 0
        claimed = len(claim.revs)
        try:
            await self._reached("claim")
            await self._erase(claim)
        except (TurnOverError, LeaseLostError) as error:
            for user_id in claim.user_ids:
                log.info("erasure_handed_on", user_id=str(user_id), reason=type(error).__name__)
            await self.ledger.release(claim)
        except asyncio.CancelledError:
            await self._give_back(claim)
            raise
        except Exception as error:  # noqa: BLE001  it is written down and tried again
            await self._failed(claim, error)
        return claimed

    async def _claim(self) -> Claim | None:
        """Claim erasures; if cancelled before the reply has come, wait for it to give them back.

        Every other claim is of the newest deletion, so that one person does not wait for thousands.
        """
        self._claims_newest = not self._claims_newest
        claiming = asyncio.create_task(self.ledger.claim(newest=self._claims_newest))
        try:
            return await asyncio.shield(claiming)
        except asyncio.CancelledError:
            with suppress(Exception):
                async with asyncio.timeout(self._settings.relay_stop_seconds / 3):
                    if claim := await claiming:
                        await self._give_back(claim)
            raise

    async def _erase(self, claim: Claim) -> None:
        """Erase portion by portion. One that fails is done again user by user, so that an erasure
        which fails does not hold up the others.
        """
        ends = time.monotonic() + self._settings.relay_turn_seconds
        queue = deque(await steps.portions(self._work_on(claim, claim.user_ids, ends)))
        while queue and claim.revs:
            portion = queue.popleft()
            if portion.rows > self._settings.relay_batch_rows:
                await self.ledger.release(claim.without(portion.user_ids))
            try:
                await self._complete(claim, portion.user_ids, ends)
            except (TurnOverError, LeaseLostError):
                raise
            except Exception as error:
                if is_away(error):
                    raise
                if len(portion.user_ids) > 1:
                    log.warning("erasures_failed", users=len(portion.user_ids), **describe(error))
                    queue.extendleft(portion.singly())
                else:
                    await self._failed(claim.take(portion.user_ids), error)
            if queue and time.monotonic() > ends:
                raise TurnOverError

    async def _complete(self, claim: Claim, user_ids: Sequence[UUID], ends: float) -> None:
        started = time.monotonic()
        work = self._work_on(claim, user_ids, ends)
        for step in self._sequence:
            await step(work)
            await self._reached(step.__name__)
        keys = await self.ledger.settle(claim.tenant_id, user_ids)
        receipts = await steps.receipts(work, keys)
        await self._reached("receipt")
        completed = await self.ledger.acknowledge(claim, receipts)
        metrics.COMPLETED.inc(len(completed))
        await lag.observe(self._databases, claim.tenant_id, completed)
        seconds = round(time.monotonic() - started, 3)
        for user_id in completed:
            log.info("erasure_completed", user_id=str(user_id), seconds=seconds)
        if completed:
            await self._reached("acknowledge")
        if len(completed) < len(user_ids):
            raise LeaseLostError

    def _work_on(self, claim: Claim, user_ids: Sequence[UUID], ends: float) -> Work:
        async def observe(batch: Batch) -> None:
            metrics.PURGED.labels("chat_sessions").inc(batch.chat_sessions)
            metrics.PURGED.labels("messages").inc(batch.messages)
            await self._reached("batch")
            if self.ledger.is_renewal_due(claim):
                await self.ledger.renew(claim, await work.counts())
            if batch.remaining and time.monotonic() > ends:
                raise TurnOverError

        rows = self._settings.relay_batch_rows
        work = Work(self._databases.general, claim.tenant_id, user_ids, rows, observe)
        return work

    async def _failed(self, claim: Claim, error: Exception) -> None:
        """Put off these erasures; where a database is away, release them and raise AwayError."""
        state = sqlstate(error)[0]
        line = type(error).__name__ if state is None else f"{type(error).__name__} {state}"
        if is_away(error):
            await self.ledger.release(claim, line)
            raise AwayError from error
        for user_id in claim.user_ids:
            if state == OWNER_HELD:
                log.info("erasure_held", user_id=str(user_id))
            else:
                metrics.FAILED.inc()
                log.error("erasure_failed", user_id=str(user_id), **describe(error))
            await self.ledger.postpone(claim.take([user_id]), line)

    async def _give_back(self, claim: Claim) -> None:
        """Release the claim if that takes no time; otherwise the lease runs out by itself."""
        with suppress(Exception):
            async with asyncio.timeout(self._settings.relay_stop_seconds / 3):
                await self.ledger.release(claim)


@asynccontextmanager
async def running(settings: Settings) -> AsyncGenerator[Relay]:
    """Run a relay beside whatever else this process does, on connections of its own."""
    own = relay_settings(settings)
    databases = Databases.create(own)
    if settings.database_url_user_relay or settings.database_url_general_relay:
        await databases.check()
    relay = Relay(databases, own)
    task = asyncio.create_task(relay.run(), name="relay")
    try:
        async with watching("relay", databases.usages):
            yield relay
    finally:
        task.cancel()
        await asyncio.wait({task}, timeout=settings.relay_stop_seconds)
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                await databases.dispose()


def relay_settings(settings: Settings) -> Settings:
    """Replace the service's logins by the relay's, and give each of its workers a connection.

    Two more are for what runs beside them: expiry, retention, holds and heartbeats.
    """
    user = settings.database_url_user_relay or settings.database_url_user
    general = settings.database_url_general_relay or settings.database_url_general
    own = {"database_url_user": user, "database_url_general": general}
    pool = {"db_pool_size": settings.relay_workers, "db_max_overflow": 2}
    return settings.model_copy(update=own | pool)
