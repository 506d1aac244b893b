"""A connection waits in vain where its backend is gone or idle."""

from __future__ import annotations

from app.config.settings import Settings
from app.databases.backends import Idle, waits_in_vain
from app.databases.opening import open_connection
from tests.support import pgbouncer

STILL_SECONDS = 3600.0


@pgbouncer.only_directly("a pooler names no backend")
async def test_one_whose_backend_is_gone_waits_in_vain(settings: Settings) -> None:
    connection = await open_connection(settings, "general")
    try:
        await connection.read_state()
        backend = connection.backend
        assert backend is not None
        another = (backend[0], backend[1].replace(year=2000))  # had the same process id
        busy, fresh, long_idle = None, STILL_SECONDS / 2, STILL_SECONDS * 2
        cases: list[tuple[Idle, bool]] = [
            ({}, True),
            ({another: long_idle}, True),
            ({backend: busy}, False),
            ({backend: fresh}, False),
            ({backend: long_idle}, True),
        ]
        for idle, expected in cases:
            assert waits_in_vain(connection, idle, STILL_SECONDS) == expected, idle
        connection.backend = None  # as behind a pooler
        assert not waits_in_vain(connection, {}, STILL_SECONDS)
    finally:
        await connection.close()
