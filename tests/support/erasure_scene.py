"""A pair of databases for the tests of erasure: people in it, relays, and looks at the rows."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from app.bridge.erasure import steps
from app.bridge.erasure.relay import Relay
from app.bridge.erasure.steps import Observer, Step, Work
from app.bridge.erasure.subject_rows import Batch
from app.bridge.hooks import Hook
from app.config.settings import Settings
from app.databases.connection import set_tenant
from app.databases.database import Databases
from tests.support.locks import until_waiting
from tests.support.servers import Servers, settings_for

TABLES = {
    "user": (
        *("tenants", "users", "user_blocks", "holds", "access_tokens", "subject_ledger"),
        "user_idempotency_keys",
    ),
    "general": (
        *("owners", "chat_sessions", "messages", "erasure_receipts", "retention_tallies"),
        "general_idempotency_keys",
    ),
}


async def nothing(_: Batch) -> None:
    """Observe nothing."""


@dataclass
class Scene:
    """One pair of databases as a superuser sees it, and as the service's logins act in it."""

    servers: Servers
    database: str
    settings: Settings
    databases: Databases
    user: asyncpg.Connection
    general: asyncpg.Connection

    async def a_user(self, tenant_id: UUID | None = None, *, sessions: int = 0) -> Subject:
        """Insert a user by plain SQL: the triggers must do for it what they do for the service."""
        subject = Subject(tenant_id or await self.a_tenant(), uuid4())
        await self.user.execute(
            "INSERT INTO users (id, tenant_id, username, email, password_hash)"
            " VALUES ($1, $2, $3, $4, 'x')",
            subject.user_id,
            subject.tenant_id,
            f"\\{subject.tenant_id}\\{subject.user_id}",
            f"{subject.user_id}@example.org",
        )
        for _ in range(sessions):
            await a_session(self.general, subject)
        return subject

    async def a_tenant(self) -> UUID:
        tenant_id = uuid4()
        statement = "INSERT INTO tenants (id, name) VALUES ($1, $2)"
        await self.user.execute(statement, tenant_id, str(tenant_id))
        return tenant_id

    async def delete(self, subject: Subject) -> None:
        await self.user.execute("DELETE FROM users WHERE id = $1", subject.user_id)

    def relay(
        self, *, hook: Hook | None = None, without: str | None = None, **settings: Any
    ) -> Relay:
        """`without` leaves out one of the steps, for the controls."""
        sequence: Sequence[Step] = [step for step in steps.STEPS if step.__name__ != without]
        changed = self.settings.model_copy(update=settings)
        return Relay(self.databases, changed, sequence=sequence, hook=hook)

    def work(self, subject: Subject, rows: int = 1000, observe: Observer = nothing) -> Work:
        general = self.databases.general
        return Work(general, subject.tenant_id, [subject.user_id], rows, observe)

    @asynccontextmanager
    async def another(self) -> AsyncGenerator[asyncpg.Connection]:
        """One more of a superuser, to the general database."""
        connection = await asyncpg.connect(self.servers.general.url(self.database))
        try:
            yield connection
        finally:
            connection.terminate()

    async def entry(self, subject: Subject) -> asyncpg.Record:
        statement = "SELECT * FROM subject_ledger WHERE user_id = $1"
        row = await self.user.fetchrow(statement, subject.user_id)
        assert row is not None
        return row

    async def due(self) -> None:
        """Let what waits for its turn or for a lease wait no more."""
        await self.user.execute("UPDATE subject_ledger SET not_before = now(), lease_until = NULL")

    async def receipts(self) -> list[asyncpg.Record]:
        return await self.general.fetch("SELECT * FROM erasure_receipts ORDER BY seq")

    async def orphans(self) -> int:
        """Rows in the general database of users who are deleted in the other: an anti-join."""
        present = "SELECT user_id FROM subject_ledger WHERE state = 'present'"
        known = [row[0] for row in await self.user.fetch(present)]
        statement = "SELECT count(*) FROM chat_sessions WHERE user_id <> ALL ($1)"
        return int(await self.general.fetchval(statement, known) or 0)


@dataclass(frozen=True)
class Subject:
    tenant_id: UUID
    user_id: UUID


async def a_session(connection: asyncpg.Connection, subject: Subject, texts: int = 2) -> UUID:
    session_id = uuid4()
    await connection.execute(
        "INSERT INTO chat_sessions (tenant_id, id, user_id, message_count) VALUES ($1, $2, $3, $4)",
        subject.tenant_id,
        session_id,
        subject.user_id,
        texts,
    )
    await connection.execute(
        "INSERT INTO messages (tenant_id, id, session_id, position, role, content)"
        " SELECT s.tenant_id, gen_random_uuid(), s.id, n, 'user', 'Hello'"
        " FROM chat_sessions s CROSS JOIN generate_series(1, $3) AS n"
        " WHERE s.tenant_id = $1 AND s.id = $2",
        subject.tenant_id,
        session_id,
        texts,
    )
    return session_id


async def dump(scene: Scene, without: set[str]) -> dict[str, list[str]]:
    """Every row of both databases that does not name one of these ids."""
    rows: dict[str, list[str]] = {}
    for name, tables in TABLES.items():
        connection: asyncpg.Connection = getattr(scene, name)
        for table in tables:
            texts = [
                str(row[0]) for row in await connection.fetch(f"SELECT t::text FROM {table} t")
            ]
            rows[table] = sorted(t for t in texts if not any(one in t for one in without))
    return rows


@asynccontextmanager
async def open_scene(servers: Servers, database: str, **more: Any) -> AsyncGenerator[Scene]:
    settings = settings_for(servers, database, **more)
    databases = Databases.create(settings)
    user = await asyncpg.connect(servers.user.url(database))
    general = await asyncpg.connect(servers.general.url(database))
    try:
        yield Scene(servers, database, settings, databases, user, general)
    finally:
        for connection in (user, general):
            connection.terminate()
        await databases.dispose()


@asynccontextmanager
async def writer(
    scene: Scene, tenant_id: UUID, login: str = "bicameral_app"
) -> AsyncGenerator[asyncpg.Connection]:
    """Connect as the service's login, or another, in a transaction that stays open."""
    url = scene.servers.general.url(scene.database, login)
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(f"BEGIN; {set_tenant(tenant_id)}")
        yield connection
    finally:
        connection.terminate()


async def waits(scene: Scene, on: asyncpg.Connection | None = None) -> None:
    """Return once a connection waits for a lock; the server has no event for that."""
    await until_waiting(on or scene.general)
