"""Connections that must not be used again are not, and cost as few requests as can be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.databases.connection import TenantConnection
from app.databases.database import Database, Databases
from app.databases.sessions import UserSession
from app.databases.statement import Statement
from app.http.problems import to_problem
from tests.support.pgbouncer import only_directly
from tests.support.servers import Servers, settings_for
from tests.support.wire import bounded

Accounts = Database[UserSession]
MANY = 5
# Locks what is there, and so needs a server that takes writes.
LOCKS = Statement(
    text(
        "SELECT count(*) FROM (SELECT FROM tenants WHERE CAST(:a AS text) = :b FOR KEY SHARE) AS t"
    )
)
NOBODY = {"a": "", "b": "x"}
PID = text("SELECT pg_backend_pid()")
READ_ONLY = "SET default_transaction_read_only = on"

pytestmark = only_directly("PgBouncer's connections to the servers are not the service's")


@pytest.fixture
async def accounts(servers: Servers, database: str) -> AsyncIterator[Accounts]:
    databases = Databases.create(settings_for(servers, database, db_pool_size=MANY))
    yield databases.user
    await databases.dispose()


async def all_of(accounts: Accounts) -> list[TenantConnection]:
    """Return as many connections as the pool keeps, all of them idle."""
    held = [await accounts.pool.take() for _ in range(MANY)]
    for one in held:
        accounts.pool.give_back(one)
    return held


async def lock(accounts: Accounts) -> None:
    async with accounts.session() as session:
        await session.execute(LOCKS.clause, NOBODY)


@bounded
async def test_a_statement_goes_on_where_writes_are_taken(accounts: Accounts) -> None:
    """The pool's connections lead to what was the primary, and new ones to what is."""
    for one in await all_of(accounts):
        await one.execute(READ_ONLY)
    assert (await accounts.fetch(LOCKS, NOBODY))[0][0] == 0


@bounded
async def test_one_transaction_finds_out_for_all_connections(accounts: Accounts) -> None:
    before = await all_of(accounts)
    for one in before:
        await one.execute(READ_ONLY)
    with pytest.raises(DBAPIError) as caught:
        await lock(accounts)
    assert to_problem(caught.value).status == 503
    await asyncio.gather(*(lock(accounts) for _ in range(MANY)))
    assert not set(before) & set(await all_of(accounts))


@bounded
async def test_one_that_was_held_meanwhile_is_not_kept_either(accounts: Accounts) -> None:
    held, other = await accounts.pool.take(), await accounts.pool.take()
    await other.execute(READ_ONLY)
    accounts.pool.give_back(other)
    await accounts.fetch(LOCKS, NOBODY)
    accounts.pool.give_back(held)
    assert held not in await all_of(accounts)


@bounded
async def test_a_begin_of_which_the_second_half_failed_is_not_kept(accounts: Accounts) -> None:
    one = await accounts.pool.take()
    one.limits = " SET LOCAL statement_timeout = 'never';"
    accounts.pool.give_back(one)
    with pytest.raises(DBAPIError):
        await lock(accounts)
    assert accounts.pool.usage().idle == 0
    await lock(accounts)
    assert one not in await all_of(accounts)


@bounded
async def test_a_commit_that_was_answered_with_rollback_is_an_error(accounts: Accounts) -> None:
    with pytest.raises(DBAPIError) as caught:
        await commit_after_a_failure(accounts)
    assert to_problem(caught.value).status == 503


async def commit_after_a_failure(accounts: Accounts) -> None:
    async with accounts.session() as session:
        with suppress(DBAPIError):
            await session.execute(text("SELECT 1 / 0"))
