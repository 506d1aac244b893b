"""Mends what one database proves wrong in the other, and does the erasures that come of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence

from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from app.bridge.erasure.relay import Relay
from app.bridge.heartbeats import heartbeat
from app.bridge.reconcile import guards, holds
from app.bridge.reconcile.differences import RESTORED, VERDICTS, Difference, Key, Kind
from app.bridge.reconcile.readings import Readings, Watch
from app.bridge.rows import fetch_value
from app.config.settings import Settings
from app.databases.causes import sqlstate
from app.databases.database import Databases

ERASURES = 100
TOKENS = 10_000

END_TOKENS = text("SELECT end_tokens(:rows)")
CATCH_UP = text("SELECT catch_up(:known)")

IS_EMPTY = text("SELECT ledger_is_empty()")
MEND = text("SELECT mend_ledger(:tenant_id, :user_id, :verdict)")

# Makes the owner of sessions that slipped in without one, of a user who exists.
MAKE_OWNER = text("""
INSERT INTO owners (tenant_id, user_id) VALUES (:tenant_id, :user_id) ON CONFLICT DO NOTHING
""")

# Deletes a batch of one session's messages, unless the session is there after all.
DELETE_STRAY = text("""
DELETE FROM messages m WHERE m.tenant_id = :tenant_id AND m.session_id = :session_id
AND m.id IN (SELECT id FROM messages WHERE tenant_id = :tenant_id AND session_id = :session_id
             ORDER BY position LIMIT :rows)
AND NOT EXISTS (SELECT FROM chat_sessions s
                WHERE s.tenant_id = :tenant_id AND s.id = :session_id)
RETURNING 1
""")


class Mender:
    """Mends differences, each only as far as the other database still proves it.

    It reads and erases with the relay's login, which may change nothing else; it mends with the
    service's, tenant by tenant.
    """

    def __init__(
        self,
        databases: Databases,
        settings: Settings,
        *,
        service: Databases,
        watch: Watch,
        keep_strangers: bool,
    ) -> None:
        self._databases = databases
        self._service = service
        self._settings = settings
        self._watch = watch
        self._keep_strangers = keep_strangers
        self._readings = Readings(databases)

    async def mend(self, found: Iterable[Difference]) -> int:
        """Mend guards first, so that nothing more slips in, and validate last; count the mended."""
        order = list(Kind)
        order.sort(key=lambda kind: (kind is Kind.NOT_VALIDATED, kind not in guards.GUARD_KINDS))
        mended = 0
        strangers = not self._keep_strangers and not await fetch_value(
            self._databases.user, IS_EMPTY
        )
        ordered = sorted(found, key=lambda one: order.index(one.kind))
        held = {one.key for one in ordered if one.kind is Kind.HOLD_LOST}
        for number, one in enumerate(ordered, 1):
            await self._watch("mended", number, len(ordered))
            if one.kind is not Kind.STRANGER or (strangers and one.key not in held):
                mended += await self._mend_one(one)
        if any(one.kind in holds.KINDS for one in ordered):
            await holds.deliver(self._databases)
        return mended

    async def end_tokens(self) -> int:
        """End all access tokens, in short transactions, and count them."""
        ended, values = 0, {"rows": TOKENS}
        while count := await fetch_value(self._service.user, END_TOKENS, values):
            ended += count
        return ended

    async def _mend_one(self, one: Difference) -> bool:
        if one.kind in guards.GUARD_KINDS:
            return await guards.mend(self._settings, one)
        if one.kind in RESTORED.values():
            return await self._catch_up(one.kind)
        if one.kind in holds.KINDS:
            return await holds.mend(self._databases, self._service, one)
        if one.kind is Kind.STRAY_MESSAGES:
            return await self._delete_stray(one)
        if one.key and one.kind is Kind.OWNER_LOST:
            async with self._service.general.session(one.key.tenant_id) as session:
                await session.execute(MAKE_OWNER, one.key._asdict())
            return True
        if one.key and one.kind in VERDICTS:
            return await self._mend_ledger(one.key, VERDICTS[one.kind])
        return False

    async def _mend_ledger(self, key: Key, verdict: str) -> bool:
        """False for a user on whom there is a hold: it is lifted before they are deleted again."""
        try:
            async with self._service.user.session(key.tenant_id) as session:
                await session.execute(MEND, key._asdict() | {"verdict": verdict})
        except IntegrityError as error:
            if sqlstate(error)[1] != "fk_holds_user_id_users":
                raise
            return False
        return True

    async def _catch_up(self, kind: Kind) -> bool:
        """End the proof of a restore; of the user database, after all its tokens were ended."""
        pair = (self._service.user, self._databases.general)
        if kind is Kind.GENERAL_DATABASE_RESTORED:
            pair = (self._service.general, self._databases.user)
        behind, other = pair
        await fetch_value(behind, CATCH_UP, {"known": (await heartbeat(other)).seen})
        return True

    async def _delete_stray(self, one: Difference) -> bool:
        """Delete in short transactions, as a purge does."""
        ids = {"tenant_id": one.tenant_id, "session_id": one.session_id}
        values = ids | {"rows": self._settings.relay_batch_rows}
        while True:
            async with self._service.general.session(one.tenant_id) as session:
                if not (await session.execute(DELETE_STRAY, values)).first():
                    return True

    async def erase(self, keys: Sequence[Key]) -> int:
        """Do, as a relay, all that is pending now, but not for ever what is deleted meanwhile.

        It waits for what another relay holds. Returns how many are still pending: those that
        failed, which a relay will try again later.
        """
        relay, done = Relay(self._databases, self._settings), 0
        goal = (await relay.ledger.backlog()).pending
        gives_up = self._gives_up()
        while pending := (await relay.ledger.backlog()).pending:
            await self._watch("erased", min(done, goal), goal)
            if count := await self._relay(relay):
                done, gives_up = done + count, self._gives_up()
                if done >= goal and not await self._readings.pending(keys):
                    return 0
            elif time.monotonic() > gives_up:
                return pending
            else:
                await asyncio.sleep(self._settings.relay_poll_seconds)
        return 0

    def _gives_up(self) -> float:
        return time.monotonic() + self._settings.relay_lease_seconds

    async def _relay(self, relay: Relay) -> int:
        """Do up to about ERASURES of them, and return how many."""
        done = 0
        while done < ERASURES:
            workers = (relay.run_once() for _ in range(self._settings.relay_workers))
            found = sum(await asyncio.gather(*workers))
            if not found:
                break
            done += found
        return done
