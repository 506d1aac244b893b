"""Each database knows how far the other one was, so that one restored from a backup is found out.

    general: what was the last beat of the user database that you noted?  ─▶ known
    user:    count a beat, unless you are behind `known`; note the general one's
    general: the same, with what the user database has noted

A beat is committed before the other database notes it, and read there before the next one is
counted. So a count behind `known` proves that commits are lost: by a restore, or by promoting a
standby that had not received them. Such a count stays where it is, and the proof with it, until
`litestar reconcile --repair`. Any number of relays may do this; together they count once a pause.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import text

from app.bridge.erasure import metrics
from app.bridge.rows import fetch_as
from app.config.settings import Settings
from app.databases.causes import describe
from app.databases.connection import DATABASES, DatabaseName
from app.databases.database import Database, Databases
from app.telemetry import log

READ = text("SELECT * FROM heartbeat()")
BEAT = text("SELECT * FROM beat(:known, :other, :other_at, :pause)")


class Heartbeat(NamedTuple):
    """A database's last beat, and the last one of the other database that was noted in it."""

    beat: int
    beat_at: datetime | None
    seen: int
    seen_at: datetime | None


class Restored(NamedTuple):
    """A database that lacks its own commits of some time, by its server's clock.

    `since` is None where its backup is older than the first beat.
    """

    name: DatabaseName
    since: datetime | None
    until: datetime | None

    @property
    def time(self) -> str:
        texts = [one and f"{one:%Y-%m-%dT%H:%M:%SZ}" for one in (self.since, self.until)]
        return f"from {texts[0]} to {texts[1]}" if self.since else f"until {texts[1]}"


async def heartbeat(database: Database[Any]) -> Heartbeat:
    """Read a database's heartbeat, and change nothing."""
    (row,) = await fetch_as(Heartbeat, database, READ)
    return row


async def restored(databases: Databases) -> list[Restored]:
    """Find the databases that are behind, and change nothing.

    Each database's count is read after the other one's note of it.
    """
    before = await heartbeat(databases.user)
    general = await heartbeat(databases.general)
    user = await heartbeat(databases.user)
    return [*_behind("user", user, general), *_behind("general", general, before)]


async def beat(databases: Databases, pause: timedelta) -> list[Restored]:
    """Count and note a beat in both, and return the databases that are behind."""
    before = await heartbeat(databases.general)
    user = await _beat(databases.user, before, pause)
    # Both rows are written by one relay after the other, a moment apart: half the pause is enough.
    general = await _beat(databases.general, user, pause / 2)
    return [*_behind("user", user, before), *_behind("general", general, user)]


async def beat_for_ever(databases: Databases, settings: Settings) -> None:
    """Beat until cancelled, and then once more, so that commits before a planned stop are known."""
    told: list[Restored] = []
    try:
        while True:
            pause = settings.relay_beat_seconds
            try:
                found = await beat(databases, timedelta(seconds=pause))
                tell(found, told)
                told = found
            except Exception as error:  # noqa: BLE001  it is done again
                log.warning("heartbeat_failed", **describe(error))
                pause = settings.relay_away_max_seconds
            await asyncio.sleep(pause)
    finally:
        with suppress(Exception):
            async with asyncio.timeout(settings.relay_stop_seconds / 3):
                await beat(databases, timedelta())


def tell(found: list[Restored], told: list[Restored]) -> None:
    """Set the gauges, and log the databases that were not logged before."""
    names = {one.name for one in found}
    for name in DATABASES:
        metrics.RESTORED.labels(name).set(name in names)
    for one in found:
        if one not in told:
            log.error("database_restored", database=one.name, time=one.time)


def _behind(name: DatabaseName, own: Heartbeat, other: Heartbeat) -> list[Restored]:
    return [Restored(name, own.beat_at, other.seen_at)] if own.beat < other.seen else []


async def _beat(database: Database[Any], other: Heartbeat, pause: timedelta) -> Heartbeat:
    values = {"known": other.seen, "other": other.beat, "other_at": other.beat_at, "pause": pause}
    (row,) = await fetch_as(Heartbeat, database, BEAT, values)
    return row
