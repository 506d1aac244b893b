"""A typed session for each database, and the only place that commits one.

A request's session commits when the handler has returned and before the response starts, so a 2xx
is committed; an error on the way, COMMIT's own included, reaches the error handler. (A statement of
statement.py is a transaction of its own, which PostgreSQL commits before it answers.)
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TypeVar, cast
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import Session, SessionTransaction
from sqlalchemy.pool import PoolProxiedConnection

from app.databases.connection import TenantConnection, set_tenant
from app.databases.pool import server_time
from app.databases.session_connection import SessionConnection


class _TenantSession(Session):
    """Row level security sees the tenant in `session.info`, for this transaction only."""


@event.listens_for(_TenantSession, "after_begin")
def _carry_tenant(session: Session, _: SessionTransaction, connection: Connection) -> None:
    # BEGIN itself is sent with the first statement, so this costs no round trip.
    _driver(connection.connection).tenant_id = session.info.get("tenant_id")


def _driver(connection: PoolProxiedConnection) -> SessionConnection:
    return cast("SessionConnection", connection.driver_connection)


class UserSession(AsyncSession):
    """A session on the user database."""

    sync_session_class = _TenantSession


class GeneralSession(AsyncSession):
    """A session on the general database."""

    sync_session_class = _TenantSession


S = TypeVar("S", bound=AsyncSession)


@asynccontextmanager
async def committed(
    maker: async_sessionmaker[S], engine: AsyncEngine, tenant_id: UUID | None
) -> AsyncGenerator[S]:
    """A transaction in the tenant: returning commits, raising or cancelling rolls back."""
    async with maker(bind=engine, info={"tenant_id": tenant_id}) as session:
        yield session
        await session.commit()


async def act_in_tenant(session: UserSession | GeneralSession, tenant_id: UUID) -> None:
    """Show the session this tenant's rows, no others, to the end of the transaction."""
    session.info["tenant_id"] = tenant_id
    await session.execute(sa.text(set_tenant(tenant_id)))


async def not_after_for(
    session: UserSession | GeneralSession, monotonic_seconds: float
) -> datetime:
    """A moment of our monotonic clock, in the clock of the session's server.

    Costs no round trip: what is sent here is the BEGIN that the first statement would send.
    """
    driver = _driver(await (await session.connection()).get_raw_connection())
    await driver.begin()
    return server_time(await driver.taken(), monotonic_seconds)


async def driver_of(session: UserSession | GeneralSession) -> TenantConnection:
    """Lend the driver's connection, for cursors and arrays past SQLAlchemy.

    It is in the session's transaction once a statement of the session has run.
    """
    return await _driver(await (await session.connection()).get_raw_connection()).taken()
