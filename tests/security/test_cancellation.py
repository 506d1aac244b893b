"""A request cancelled at whatever await leaves neither a transaction nor a tenant in the pool."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any
from uuid import UUID, uuid4

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from litestar import Litestar
from sqlalchemy import text

from app.databases.database import Database, Databases
from app.databases.sessions import act_in_tenant
from app.databases.statement import Statement
from tests.support.callers import Callers, Victim, client_of
from tests.support.pool_faults import faults

FORGETFUL = Statement(text("SELECT set_config('app.tenant_id', :n, CAST(:m AS boolean))"))
Any_ = Database[Any]


async def _cancel_after(steps: int, work: Awaitable[object]) -> None:
    """Steps of the event loop, so that each await of the work is a place where it may end."""
    task = asyncio.ensure_future(work)
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def _request(app: Litestar, victim: Victim, call: tuple[str, str, Any]) -> None:
    method, path, body = call
    async with client_of(app, victim.owner.token) as http:
        await http.request(method, path.format(victim.session_id), json=body)


CALLS: list[tuple[str, str, Any]] = [
    ("GET", "/v1/me", None),
    ("GET", "/v1/chat-sessions", None),
    ("GET", "/v1/chat-sessions/{}", None),
    ("POST", "/v1/chat-sessions", {"title": "mine"}),
    ("POST", "/v1/chat-sessions/{}/messages", {"role": "user", "content": "mine"}),
    ("GET", "/v1/chat-sessions/{}/messages", None),
    ("GET", "/v1/me/export", None),
]
bounded = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def _run_on(loop: asyncio.AbstractEventLoop, work: Awaitable[Any]) -> Any:
    return asyncio.run_coroutine_threadsafe(_awaited(work), loop).result(60)


async def _awaited(work: Awaitable[Any]) -> Any:
    return await work


async def _in_thread(test: Callable[[], None]) -> None:
    """Hypothesis calls plain functions; the service lives on this loop."""
    await asyncio.to_thread(test)


async def test_requests_cancelled_anywhere_leave_a_clean_pool(
    callers: Callers,
) -> None:
    loop, victim = asyncio.get_running_loop(), await callers.victim()
    databases: Databases = callers.app.state.databases
    both: list[Any_] = [databases.user, databases.general]

    async def example(plan: list[tuple[tuple[str, str, Any], int]]) -> None:
        work = [_cancel_after(n, _request(callers.app, victim, call)) for call, n in plan]
        await asyncio.gather(*work)
        for database in both:
            assert await faults(database) == []

    @bounded
    @given(st.lists(st.tuples(st.sampled_from(CALLS), st.integers(0, 120)), min_size=1, max_size=4))
    def cancelled(plan: list[tuple[tuple[str, str, Any], int]]) -> None:
        _run_on(loop, example(plan))

    await _in_thread(cancelled)


async def _act(database: Any_, tenant: UUID, other: UUID) -> None:
    async with database.session(tenant) as session:
        await session.execute(text("SELECT 1"))
        await act_in_tenant(session, other)
        await session.execute(text("SELECT pg_sleep(0)"))


async def test_sessions_cancelled_anywhere_leave_a_clean_pool(
    callers: Callers,
) -> None:
    loop = asyncio.get_running_loop()
    databases: Databases = callers.app.state.databases

    async def example(steps: int, name: str) -> None:
        database: Any_ = getattr(databases, name)
        await _cancel_after(steps, _act(database, uuid4(), uuid4()))
        assert await faults(database) == []

    @bounded
    @given(st.integers(0, 80), st.sampled_from(["user", "general"]))
    def cancelled(steps: int, name: str) -> None:
        _run_on(loop, example(steps, name))

    await _in_thread(cancelled)


async def test_control_a_setting_left_on_a_connection_is_seen(
    callers: Callers,
) -> None:
    """The tests above look for a SET without LOCAL, and for a transaction left open."""
    database: Any_ = callers.app.state.databases.general
    assert await faults(database) == []
    async with database.one_statement() as one:
        await one.execute(text(f"SET app.tenant_id = '{uuid4()}'"))
    assert "a tenant is set" in await faults(database)
    await database.dispose()
    await database.fetch(FORGETFUL, {"n": str(uuid4()), "m": False})
    assert "a tenant is set" in await faults(database)
    await database.dispose()
    raw = await database.pool.take()
    database.pool.give_back(raw)
    await raw.execute("BEGIN;")
    assert "a transaction is open" in await faults(database)
    await database.dispose()
    assert await faults(database) == []
