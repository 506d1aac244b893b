"""Reconcile: do the two databases tell the same story, and if not, who is proved wrong?

    look ──▶ second look ──▶ mend ──▶ relay ──▶ look again …

A difference counts only if a second look finds it too: what the service or a relay was just doing
is done by then. So it is safe at any time. What each difference proves is in differences.py.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sqlalchemy import text

from app.bridge.erasure import metrics
from app.bridge.erasure.relay import Relay, relay_settings
from app.bridge.reconcile import guards
from app.bridge.reconcile.differences import VERDICTS, Difference, Key, Kind
from app.bridge.reconcile.readings import Readings, Watch, nobody_watches
from app.config.settings import Settings
from app.databases.causes import describe
from app.databases.database import Databases
from app.telemetry import log

# What one mending uncovers the next one mends: rows, then what kept a constraint from holding.
ROUNDS = 4
ERASURES = 100

IS_EMPTY = text("SELECT ledger_is_empty()")
MEND = text("SELECT mend_ledger(:tenant_id, :user_id, :verdict)")

# For sessions that slipped in without one, of a user who is there.
MAKE_OWNER = text("""
INSERT INTO owners (tenant_id, user_id) VALUES (:tenant_id, :user_id) ON CONFLICT DO NOTHING
""")

DELETE_STRAY = text("""
DELETE FROM messages m WHERE m.tenant_id = :tenant_id AND m.session_id = :session_id
AND m.id IN (SELECT id FROM messages WHERE tenant_id = :tenant_id AND session_id = :session_id
             ORDER BY position LIMIT :rows)
AND NOT EXISTS (SELECT FROM chat_sessions s
                WHERE s.tenant_id = :tenant_id AND s.id = :session_id)
RETURNING 1
""")


@dataclass(frozen=True)
class Outcome:
    """`found` at first, `left` in the end, and how many erasures a relay has yet to do."""

    found: frozenset[Difference]
    left: frozenset[Difference]
    pending: int = 0


class Reconciler:
    """Compares the two databases and mends what is proved wrong.

    A difference counts once it was seen in so many `readings`; a test shows what one would find.
    """

    def __init__(
        self,
        databases: Databases,
        settings: Settings,
        *,
        watch: Watch = nobody_watches,
        keep_strangers: bool = False,
        readings: int = 2,
    ) -> None:
        self._databases = databases
        self._settings = settings
        self._watch = watch
        self._keep_strangers = keep_strangers
        self._times = readings
        self._looks = Readings(databases, watch)

    async def find(self) -> frozenset[Difference]:
        users = await self._users()
        found = {Difference(kind, *key) for key, kind in users.items()}
        found |= await self._others()
        metrics.DIFFERENCES.set(len(found))
        if found:
            kinds = Counter(str(one.kind) for one in found)
            log.warning("databases_differ", count=len(found), kinds=dict(kinds))
        return frozenset(found)

    async def _users(self) -> dict[Key, Kind]:
        found: dict[Key, Kind] = {}
        async for page in self._looks.suspects():
            found |= await self._looks.differences(page)
        for _ in range(self._times - 1):
            again = await self._looks.differences(list(found))
            found = {key: kind for key, kind in again.items() if found[key] is kind}
        return found

    async def _others(self) -> set[Difference]:
        found: set[Difference] | None = None
        for _ in range(self._times):
            seen = await guards.faults(self._databases)
            await self._watch("messages", 0, 0)
            seen |= await self._looks.stray_messages()
            await self._watch("receipts", 0, 0)
            seen |= await self._looks.broken_receipts()
            found = seen if found is None else found & seen
            if not found:
                break
        return found or set()

    async def repair(self) -> Outcome:
        """Until they agree, or a round mends nothing. What was pending anyway is erased, too."""
        found = everything = await self.find()
        pending = 0
        for _ in range(ROUNDS):
            mended = await self._mend(found)
            pending = await self._erase([one.key for one in everything if one.key])
            if not mended:
                break
            found = await self.find()
            everything |= found
        return Outcome(everything, found, pending)

    async def _mend(self, found: Iterable[Difference]) -> int:
        """Guards first, so that nothing more slips in; validated last. How many it saw to."""
        order = list(Kind)
        order.sort(key=lambda kind: (kind is Kind.NOT_VALIDATED, kind not in guards.GUARD_KINDS))
        mended = 0
        strangers = not self._keep_strangers and not await self._is_empty()
        ordered = sorted(found, key=lambda one: order.index(one.kind))
        for number, one in enumerate(ordered, 1):
            await self._watch("mended", number, len(ordered))
            if one.kind is not Kind.STRANGER or strangers:
                mended += await self._mend_one(one)
        return mended

    async def _mend_one(self, one: Difference) -> bool:
        if one.kind in guards.GUARD_KINDS:
            return await guards.mend(self._settings, one)
        if one.kind is Kind.STRAY_MESSAGES:
            return await self._delete_stray(one)
        if one.key and one.kind is Kind.OWNER_LOST:
            async with self._databases.general.session(one.key.tenant_id) as session:
                await session.execute(MAKE_OWNER, one.key._asdict())
            return True
        if one.key and one.kind in VERDICTS:
            async with self._databases.user.one_statement() as connection:
                await connection.execute(MEND, one.key._asdict() | {"verdict": VERDICTS[one.kind]})
            return True
        return False

    async def _is_empty(self) -> bool:
        async with self._databases.user.one_statement() as connection:
            return bool(await connection.scalar(IS_EMPTY))

    async def _delete_stray(self, one: Difference) -> bool:
        """In short transactions, as a purge does it."""
        ids = {"tenant_id": one.tenant_id, "session_id": one.session_id}
        values = ids | {"rows": self._settings.relay_batch_rows}
        while True:
            async with self._databases.general.session(one.tenant_id) as session:
                if not (await session.execute(DELETE_STRAY, values)).first():
                    return True

    async def _erase(self, keys: Sequence[Key]) -> int:
        """As a relay: all that is pending now, but not for ever what others delete meanwhile.

        Waits for what another relay holds. How many are pending yet: those failed, and will be
        tried again later.
        """
        relay, done = Relay(self._databases, self._settings), 0
        goal = (await relay.ledger.backlog()).pending
        gives_up = self._gives_up()
        while pending := (await relay.ledger.backlog()).pending:
            await self._watch("erased", min(done, goal), goal)
            if count := await self._relay(relay):
                done, gives_up = done + count, self._gives_up()
                if done >= goal and not await self._looks.pending(keys):
                    return 0
            elif time.monotonic() > gives_up:
                return pending
            else:
                await asyncio.sleep(self._settings.relay_poll_seconds)
        return 0

    def _gives_up(self) -> float:
        return time.monotonic() + self._settings.relay_lease_seconds

    async def _relay(self, relay: Relay) -> int:
        """A good many erasures, if there are."""
        done = 0
        while done < ERASURES:
            workers = (relay.run_once() for _ in range(self._settings.relay_workers))
            found = sum(await asyncio.gather(*workers))
            if not found:
                break
            done += found
        return done


def reconcile_settings(settings: Settings) -> Settings:
    """The relay's logins, and time for statements that read everything."""
    seconds = settings.reconcile_statement_timeout_seconds
    return relay_settings(settings).model_copy(update={"db_statement_timeout_seconds": seconds})


@asynccontextmanager
async def reconciling(settings: Settings) -> AsyncGenerator[None]:
    """Every now and then, beside a relay, if the settings say so."""
    if not settings.relay_reconcile_seconds:
        yield
        return
    own = reconcile_settings(settings)
    databases = Databases.create(own)
    task = asyncio.create_task(every_now_and_then(databases, own), name="reconcile")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task}, timeout=settings.relay_stop_seconds)
        for database in (databases.user, databases.general):
            await database.dispose()


async def every_now_and_then(databases: Databases, settings: Settings) -> None:
    """Looks and tells, for ever; mends nothing."""
    while True:
        await asyncio.sleep(settings.relay_reconcile_seconds)
        try:
            await Reconciler(databases, settings).find()
        except Exception as error:  # noqa: BLE001  the next time may be better
            log.warning("reconcile_failed", **describe(error))
