"""A hot standby of a test's server, which follows it until it is promoted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from signal import SIGINT
from subprocess import Popen
from tempfile import TemporaryDirectory
from typing import BinaryIO

import asyncpg

from app.commands.embedded.cluster import Server
from app.commands.embedded.host import free_port

CAUGHT_UP = "SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn"
PATIENCE_SECONDS = 30


@dataclass
class Standby:
    primary: Server
    port: int
    process: Popen[bytes]

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    async def follows(self) -> None:
        """Return once it has all that the primary has written by now."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            primary = await asyncpg.connect(self.primary.url())
            try:
                written = await primary.fetchval("SELECT pg_switch_wal()")
                while not await self._asked(CAUGHT_UP, written):
                    pass  # each question is a connection, so this is no busy loop
            finally:
                await primary.close()

    async def promote(self) -> None:
        """Return once it takes writes."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await self._asked("SELECT pg_promote()")
            while await self._asked("SELECT pg_is_in_recovery()"):
                pass

    async def _asked(self, question: str, *values: object) -> bool:
        with suppress(OSError, asyncpg.CannotConnectNowError):  # it is still starting
            connection = await asyncpg.connect(self.url())
            try:
                return bool(await connection.fetchval(question, *values))
            finally:
                connection.terminate()
        return False


@asynccontextmanager
async def standby_of(primary: Server) -> AsyncGenerator[Standby]:
    with TemporaryDirectory(prefix="bicameral-standby-") as name:
        folder, port = Path(name), free_port()
        data_dir = folder / "data"
        primary.programs.give(folder)
        with (folder / "log").open("ab") as log:
            await asyncio.to_thread(_copy, primary, data_dir, log)
            process = _run(primary, data_dir, port, log)
            try:
                yield Standby(primary, port, process)
            finally:
                process.send_signal(SIGINT)
                await asyncio.to_thread(process.wait)


def _copy(primary: Server, data_dir: Path, log: BinaryIO) -> None:
    place = (f"--host={primary.socket_dir}", f"--port={primary.port}", "--username=postgres")
    how = ("--checkpoint=fast", "--wal-method=stream", "--no-sync", "--write-recovery-conf")
    options = (f"--pgdata={data_dir}", *place, *how)
    copying = primary.programs.run("pg_basebackup", *options, at=data_dir.parent, log=log)
    assert copying.wait(PATIENCE_SECONDS) == 0, (data_dir.parent / "log").read_text()


def _run(primary: Server, data_dir: Path, port: int, log: BinaryIO) -> Popen[bytes]:
    places = ("--listen_addresses=127.0.0.1", "--unix_socket_directories=", f"--port={port}")
    modest = ("--max_connections=200", "--shared_buffers=32MB", "--fsync=off")
    options = ("-D", str(data_dir), *places, *modest)
    return primary.programs.run("postgres", *options, at=data_dir, log=log)
