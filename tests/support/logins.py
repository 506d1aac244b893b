"""Tests of login use services with other settings, other addresses, hashing threads on hold."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import httpx
from litestar import Litestar

from app.config.settings import Settings
from app.server import create_app
from tests.support.factories import PASSWORD, World
from tests.support.servers import alive

HERE, ELSEWHERE = "198.51.100.1", "203.0.113.9"


@asynccontextmanager
async def world_on(settings: Settings) -> AsyncGenerator[World]:
    service = create_app(settings)
    async with alive(service):
        yield World(service, client_at(service, HERE))


def client_at(service: Litestar, address: str) -> httpx.AsyncClient:
    asgi: Any = service  # the two libraries spell ASGI's types differently
    transport = httpx.ASGITransport(app=asgi, client=(address, 1))
    return httpx.AsyncClient(transport=transport, base_url="http://bicameral")


async def try_login(
    world: World, username: str, password: str = PASSWORD, *, at: str = HERE
) -> httpx.Response:
    body = {"username": username, "password": password}
    return await client_at(world.app, at).post("/v1/auth/login", json=body)


async def guess(world: World, username: str, *, at: str = HERE, times: int = 1) -> list[int]:
    """The statuses of so many wrong passwords, one after the other."""
    wrong = "not the password at all"
    return [(await try_login(world, username, wrong, at=at)).status_code for _ in range(times)]


@asynccontextmanager
async def superuser(url: str) -> AsyncGenerator[asyncpg.Connection]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


class Threads(ThreadPoolExecutor):
    """The hashing threads, real ones: counts what they are given, and holds them on demand."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.given = 0
        self.asked = asyncio.Event()
        self._open = threading.Event()
        self._open.set()

    def hold(self) -> None:
        self._open.clear()
        self.asked.clear()

    def release(self) -> None:
        self._open.set()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.given += 1
        self.asked.set()
        return super().submit(self._when_open, fn, *args, **kwargs)

    def _when_open(self, function: Callable[..., Any], *args: Any) -> Any:
        self._open.wait()
        return function(*args)


def threads_of(world: World, count: int = 2) -> Threads:
    """Put these in place of the service's own."""
    threads = Threads(count)
    vars(world.app.state.passwords)["_threads"] = threads
    return threads
