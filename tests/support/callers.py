"""A victim with one of everything, and those who try. Rows are made in SQL, past every check."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import httpx
from argon2 import PasswordHasher
from litestar import Litestar
from uuid_utils.compat import uuid7

from app.accounts.tokens import new_token, token_digest
from tests.support.factories import PASSWORD

HASH = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1).hash(PASSWORD)
REFUSED = ("no_token", "expired", "blocked")
INSIDE = ("peer", "stranger", "foreign_boss", "boss", "root", "owner")
CALLERS = (*REFUSED, *INSIDE)

USER_TABLES = {"users": "tenant_id", "tenants": "id", "user_blocks": "tenant_id"}
USER_TABLES["access_tokens"] = "tenant_id"
GENERAL_TABLES = {"chat_sessions": "tenant_id", "messages": "tenant_id", "owners": "tenant_id"}


@dataclass(frozen=True)
class Account:
    """A user there is, and a token of theirs."""

    id: UUID
    tenant_id: UUID
    username: str
    email: str
    external_id: str
    token: str


@dataclass(frozen=True)
class Victim:
    owner: Account
    session_id: UUID
    doomed_id: UUID
    title: str
    content: str

    @property
    def secrets(self) -> tuple[str, ...]:
        """Nobody but the owner, not even an administrator, is ever shown these."""
        return (str(self.session_id), self.title, self.content)

    @property
    def marks(self) -> tuple[str, ...]:
        """Nobody but the owner and their administrators is."""
        owner = self.owner
        return (*self.secrets, str(owner.id), owner.email, owner.username, str(self.doomed_id))


class Callers:
    def __init__(self, app: Litestar, user: asyncpg.Connection, general: asyncpg.Connection):
        self.app, self._user, self._general = app, user, general
        self._tenants: dict[str, UUID] = {}

    async def tenant(self, name: str) -> UUID:
        """With an administrator, so that nobody who comes later is the last one."""
        if name not in self._tenants:
            self._tenants[name] = tenant_id = uuid7()
            sql = "INSERT INTO tenants (id, name) VALUES ($1, $2)"
            await self._user.execute(sql, tenant_id, name)
            await self.row(name, "admin" if name == "platform" else "tenant_admin")
        return self._tenants[name]

    async def row(self, tenant: str, role: str) -> Account:
        tenant_id, user_id = await self.tenant(tenant), uuid7()
        token, own = new_token(), f"p-{user_id.hex}"
        row = Account(user_id, tenant_id, f"\\{tenant}\\{own}", f"{own}@example.org", own, token)
        await self._user.execute(
            "INSERT INTO users (id, tenant_id, username, email, external_id, password_hash, roles)"
            " VALUES ($1, $2, $3, $4, $5, $6, jsonb_build_array($7::text))",
            *(user_id, tenant_id, row.username, row.email, own, HASH, role),
        )
        await self.token(row, token)
        return row

    async def token(self, row: Account, token: str) -> None:
        await self._user.execute(
            "INSERT INTO access_tokens (digest, tenant_id, user_id, expires_at)"
            " VALUES ($1, $2, $3, $4)",
            *(token_digest(token), row.tenant_id, row.id, datetime.now(UTC) + timedelta(hours=1)),
        )

    async def victim(self) -> Victim:
        """Add somebody in a tenant of their own; `doomed` is a user of it who was deleted."""
        tenant = f"t-{uuid7().hex}"
        owner, doomed = await self.row(tenant, "member"), await self.row(tenant, "member")
        await self._user.execute("DELETE FROM users WHERE id = $1", doomed.id)
        block = "INSERT INTO user_blocks (user_id, tenant_id) VALUES ($1, $2)"  # of long ago
        await self._user.execute(block, owner.id, owner.tenant_id)
        title, content = f"title {uuid7()}", f"message text {uuid7()}"
        session_id = await self.session(owner, title, content)
        for connection, name in ((self._user, "user"), (self._general, "general")):
            await connection.execute(
                f"INSERT INTO {name}_idempotency_keys (tenant_id, user_id, key, answer, expires_at)"
                " VALUES ($1, $2, 'a key that no test sends', $3, now() + interval '1 day')",
                *(owner.tenant_id, owner.id, content.encode()),
            )
        return Victim(owner, session_id, doomed.id, title, content)

    async def session(self, owner: Account, title: str, content: str) -> UUID:
        """Add a chat session with one message, whose id is the session's."""
        session_id = uuid7()
        await self._general.execute(
            "INSERT INTO chat_sessions (tenant_id, id, user_id, title, message_count)"
            " VALUES ($1, $2, $3, $4, 1)",
            *(owner.tenant_id, session_id, owner.id, title),
        )
        await self._general.execute(
            "INSERT INTO messages (tenant_id, id, session_id, position, role, content)"
            " VALUES ($1, $2, $3, 1, 'user', $4)",
            *(owner.tenant_id, session_id, session_id, content),
        )
        return session_id

    async def caller(self, kind: str, victim: Victim) -> httpx.AsyncClient:
        tenant = victim.owner.username.split("\\")[1]
        match kind:
            case "no_token":
                return client_of(self.app, None)
            case "owner":
                return self.with_token(victim.owner.token)
            case "expired" | "blocked":
                row = await self.row(tenant, "tenant_admin")
                await self._end(kind, row)
                return self.with_token(row.token)
            case _:
                home, role = {
                    "peer": (tenant, "member"),
                    "boss": (tenant, "tenant_admin"),
                    "stranger": ("elsewhere", "member"),
                    "foreign_boss": ("elsewhere", "tenant_admin"),
                    "root": ("platform", "admin"),
                }[kind]
                return self.with_token((await self.row(home, role)).token)

    async def _end(self, kind: str, row: Account) -> None:
        """The token's row stays: the look at the user, or at the clock, is what refuses it."""
        if kind == "blocked":
            await self._user.execute("UPDATE users SET is_blocked = true WHERE id = $1", row.id)
        else:
            sql = "UPDATE access_tokens SET expires_at = now() WHERE user_id = $1"
            await self._user.execute(sql, row.id)

    def with_token(self, token: str) -> httpx.AsyncClient:
        return client_of(self.app, token)

    async def execute(self, statement: str, *values: Any) -> None:
        """On the user database, as superuser."""
        await self._user.execute(statement, *values)

    async def state(self, tenant_id: UUID) -> list[Any]:
        """A digest of each table's rows of the tenant, in both databases."""
        found = [await _digest(self._user, tenant_id, *table) for table in USER_TABLES.items()]
        return found + [
            await _digest(self._general, tenant_id, *table) for table in GENERAL_TABLES.items()
        ]


def client_of(app: Litestar, token: str | None) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=app)  # pyright: ignore[reportArgumentType]  # ASGI is ASGI
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx.AsyncClient(transport=transport, base_url="http://bicameral", headers=headers)


async def _digest(connection: asyncpg.Connection, tenant_id: UUID, table: str, column: str) -> Any:
    rows = "string_agg(t::text, ',' ORDER BY t::text)"
    sql = f"SELECT md5({rows}) FROM {table} t WHERE {column} = $1"
    return table, await connection.fetchval(sql, tenant_id)
