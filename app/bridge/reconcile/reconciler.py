"""Compares the two databases and mends what one of them proves wrong in the other.

    read ──▶ read again ──▶ mend ──▶ relay ──▶ read …

A difference counts only if a second reading finds it too: what the service or a relay was just
doing is done by then, so this may run at any time. differences.py says what each one proves.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime

from app.bridge.erasure import metrics
from app.bridge.erasure.relay import relay_settings
from app.bridge.reconcile import guards, holds
from app.bridge.reconcile.credentials import Credentials, may_be_old
from app.bridge.reconcile.differences import USER_IS_OLD, Difference, Key, Kind
from app.bridge.reconcile.mending import Mender
from app.bridge.reconcile.readings import Readings, Watch, nobody_watches
from app.bridge.reconcile.sealed_keys import lost_keys
from app.config.settings import Settings
from app.databases.causes import describe
from app.databases.database import Databases
from app.telemetry import log

# One round may uncover what the next one mends: rows first, then the constraint they stood against.
ROUNDS = 4


@dataclass(frozen=True)
class Outcome:
    """The differences found at first, those left in the end, and the erasures still pending.

    `old` and `tokens_ended` are None where the user database was not restored, as far as is known.
    """

    found: frozenset[Difference]
    left: frozenset[Difference]
    pending: int = 0
    old: Credentials | None = field(default=None, compare=False)
    tokens_ended: int | None = field(default=None, compare=False)


class Reconciler:
    """Finds the differences between the two databases, and mends them.

    `databases` are reached with the relay's login, `service` with the service's, which mends.
    `end_tokens` ends all access tokens even if nothing proves a restore, and `since` lists, though
    nothing does, whose credentials may be old. A difference counts once it was seen in so many
    `readings`; a test shows what one would find.
    """

    def __init__(
        self,
        databases: Databases,
        settings: Settings,
        *,
        service: Databases | None = None,
        watch: Watch = nobody_watches,
        keep_strangers: bool = False,
        end_tokens: bool = False,
        since: datetime | None = None,
        readings: int = 2,
    ) -> None:
        self._databases = databases
        self._watch = watch
        self._times = readings
        self._end_tokens = end_tokens
        self._since = since
        self._readings = Readings(databases, watch)
        self._mender = Mender(
            databases,
            settings,
            service=service or databases,
            watch=watch,
            keep_strangers=keep_strangers,
        )

    async def find(self) -> frozenset[Difference]:
        """Compare, log and count the differences, and change nothing."""
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
        async for page in self._readings.suspects():
            found |= await self._readings.differences(page)
        for _ in range(self._times - 1):
            again = await self._readings.differences(list(found))
            found = {key: kind for key, kind in again.items() if found[key] is kind}
        return found

    async def _others(self) -> set[Difference]:
        found: set[Difference] | None = None
        for _ in range(self._times):
            seen = await self._readings.restored()
            seen |= await guards.faults(self._databases)
            await self._watch("messages", 0, 0)
            seen |= await self._readings.stray_messages()
            seen |= await holds.differences(self._databases)
            await self._watch("receipts", 0, 0)
            seen |= await self._readings.broken_receipts()
            seen |= await lost_keys(self._databases)
            found = seen if found is None else found & seen
            if not found:
                break
        return found or set()

    async def look(self) -> Outcome:
        """Find the differences, and whose credentials may be old; change nothing."""
        found = await self.find()
        return Outcome(found, found, old=await self._old(found))

    async def repair(self) -> Outcome:
        """Mend until the two agree or a round mends nothing. Pending erasures are done, too.

        Tokens end first: what proves the restore is gone when it is mended.
        """
        found = everything = await self.find()
        pending, ended = 0, None
        for _ in range(ROUNDS):
            if ended is None and (self._end_tokens or _proves_a_restore(found)):
                ended = await self._mender.end_tokens()
            mended = await self._mender.mend(found)
            pending = await self._mender.erase([one.key for one in everything if one.key])
            if not mended:
                break
            found = await self.find()
            everything |= found
        return Outcome(everything, found, pending, await self._old(everything), ended)

    async def _old(self, found: frozenset[Difference]) -> Credentials | None:
        if self._end_tokens or self._since or _proves_a_restore(found):
            return await may_be_old(self._databases, self._since)
        return None


def _proves_a_restore(found: frozenset[Difference]) -> bool:
    """Tell whether the user database was restored to before something was committed to it."""
    return any(one.kind in USER_IS_OLD for one in found)


def reconcile_settings(settings: Settings) -> Settings:
    """Give the relay's logins, and time for statements that read everything."""
    seconds = settings.reconcile_statement_timeout_seconds
    return relay_settings(settings).model_copy(update={"db_statement_timeout_seconds": seconds})


@asynccontextmanager
async def reconciling(settings: Settings) -> AsyncGenerator[None]:
    """Compare the databases at intervals beside a relay, if the settings say so."""
    if not settings.relay_reconcile_seconds:
        yield
        return
    own = reconcile_settings(settings)
    databases = Databases.create(own)
    task = asyncio.create_task(find_for_ever(databases, own), name="reconcile")
    try:
        yield
    finally:
        task.cancel()
        with suppress(TimeoutError):  # a server that is silent does not end what it was asked
            async with asyncio.timeout(settings.relay_stop_seconds):
                await asyncio.wait({task})
                await databases.dispose()


async def find_for_ever(databases: Databases, settings: Settings) -> None:
    """Compare and log until cancelled; mend nothing."""
    while True:
        await asyncio.sleep(settings.relay_reconcile_seconds)
        try:
            await Reconciler(databases, settings).find()
        except Exception as error:  # noqa: BLE001  the next time may be better
            log.warning("reconcile_failed", **describe(error))
