"""Waits for whoever may yet commit rows in the old way, when sealing has begun or ended.

(a) A command commits that from now on rows are sealed, or that they are not.
(b) A request whose caller was looked up before (a) writes in the old way. As its last act before
    COMMIT it checks that the look-up is no older than a second.
(c) Whoever has passed that check and is frozen before COMMIT holds the lock that an INSERT or an
    UPDATE takes of its table. A long import takes the advisory lock first, and asks then whether
    rows are sealed.
(d) So the command waits for that second, and then for every transaction that holds such a lock,
    however long. What they have committed it finds and converts; nobody else writes in the old way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from sqlalchemy import text

from app.bridge.rows import fetch_as
from app.databases.database import Database
from app.databases.sessions import GeneralSession

# Two numbers that no other advisory lock of the service has: those have one, of 64 bits.
LOCK = {"group": 1936024940, "one": 1}
BEFORE_ASKING = text("SELECT pg_advisory_xact_lock_shared(:group, :one)").bindparams(**LOCK)
WRITERS = text("""
SELECT DISTINCT l.virtualtransaction AS name, l.pid
FROM pg_locks l JOIN pg_database d ON d.oid = l.database AND d.datname = current_database()
WHERE l.granted AND (
    l.locktype = 'advisory' AND (l.classid, l.objid, l.objsubid) = (:group, :one, 2)
    OR l.mode = 'RowExclusiveLock' AND l.relation IN (
        CAST('chat_sessions' AS regclass), CAST('messages' AS regclass),
        CAST('general_idempotency_keys' AS regclass), CAST('owners' AS regclass)))
""").bindparams(**LOCK)
POLL_SECONDS = 0.2

Say = Callable[[str], None]


class Writer(NamedTuple):
    """A transaction that has written, and the server's process that runs it."""

    name: str
    pid: int


async def wait_for_writers(general: Database[GeneralSession], say: Say) -> None:
    """Return when each transaction has ended that is writing now; say once that this takes long."""
    writers = await _writers(general)
    is_told = False
    while writers:
        await asyncio.sleep(POLL_SECONDS)
        writers &= await _writers(general)
        if writers and not is_told:
            is_told = True
            pids = ", ".join(sorted(str(one.pid) for one in writers))
            say(f"Waiting for transactions that write since before (server processes {pids}).")


async def _writers(general: Database[GeneralSession]) -> set[Writer]:
    return set(await fetch_as(Writer, general, WRITERS))
