"""PostgreSQL servers stopped, killed with -9 and frozen, and what brings them back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from signal import SIGCONT, SIGSTOP

from app.commands.embedded.cluster import Server
from tests.support.pgbouncer import reached


@asynccontextmanager
async def stopped(server: Server, database: str) -> AsyncGenerator[None]:
    """The server is shut down inside and answers again afterwards."""
    await asyncio.to_thread(server.stop)
    try:
        yield
    finally:
        await asyncio.to_thread(server.start)
        await reached(server, database)


@asynccontextmanager
async def frozen(server: Server, _: str) -> AsyncGenerator[None]:
    """The server accepts connections, since the kernel does, and says nothing."""
    processes = server.processes()
    for process in processes:
        process.send_signal(SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            process.send_signal(SIGCONT)


async def freeze(server: Server) -> None:
    for process in server.processes():
        process.send_signal(SIGSTOP)


async def thaw(server: Server) -> None:
    for process in server.processes():
        process.send_signal(SIGCONT)


async def kill(server: Server) -> None:
    await asyncio.to_thread(server.kill)


async def start(server: Server) -> None:
    await asyncio.to_thread(server.start)
