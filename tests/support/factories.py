"""Short names for real rows: made by the service's own functions, seen by its own API."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, ClassVar
from uuid import UUID

import httpx
from litestar import Litestar

from app.accounts.models import User
from app.accounts.operators import Operators
from app.accounts.passwords import Passwords
from app.databases.database import Databases
from app.http.security import Role

PASSWORD = "a quiet corner of the library"
numbers = count(1)


class HashedOnce(Passwords):
    """The service's, but a password is hashed once for all users that a run makes with it."""

    hashes: ClassVar[dict[str, str]] = {}

    def __init__(self, passwords: Passwords) -> None:
        self._passwords = passwords

    async def hash_new(self, password: str, names: Sequence[str], *, field: str) -> str:
        if password not in self.hashes:
            self.hashes[password] = await self._passwords.hash_new(password, names, field=field)
        return self.hashes[password]


@dataclass
class Someone:
    """A user, and a client that sends their token."""

    id: UUID
    tenant_id: UUID
    username: str
    http: httpx.AsyncClient


@dataclass
class World:
    app: Litestar
    nobody: httpx.AsyncClient

    @property
    def databases(self) -> Databases:
        databases: Databases = self.app.state.databases
        return databases

    @property
    def operators(self) -> Operators:
        return Operators(self.databases, HashedOnce(self.app.state.passwords))

    async def tenant(self, name: str | None = None) -> str:
        name = name or f"tenant-{next(numbers)}"
        await self.operators.ensure_tenant(name)
        return name

    async def user(self, username: str, *roles: Role) -> User:
        """`username` in full. Its tenant is made on the way."""
        tenant = username.split("\\")[1]
        await self.operators.ensure_tenant(tenant)
        email = f"person-{next(numbers)}@example.org"
        return await self.operators.create_user(username, email, PASSWORD, roles or (Role.MEMBER,))

    async def someone(self, username: str, *roles: Role) -> Someone:
        user = await self.user(username, *roles)
        token = await self.log_in(username)
        return Someone(user.id, user.tenant_id, username, self.with_token(token))

    async def log_in(self, username: str, password: str = PASSWORD) -> str:
        body = {"username": username, "password": password}
        response = await self.nobody.post("/v1/auth/login", json=body)
        assert response.status_code == 200, response.text
        token: str = response.json()["access_token"]
        return token

    def with_token(self, token: str) -> httpx.AsyncClient:
        asgi: Any = self.app  # the two libraries spell ASGI's types differently
        transport = httpx.ASGITransport(app=asgi)
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.AsyncClient(transport=transport, base_url="http://bicameral", headers=headers)

    def same(self, someone: Someone) -> Someone:
        """They, as a client of this service, who logged in to another on the same databases."""
        token = someone.http.headers["authorization"].removeprefix("Bearer ")
        return replace(someone, http=self.with_token(token))

    async def member(self) -> Someone:
        return await self.someone(f"\\acme\\member-{next(numbers)}")

    async def tenant_admin(self, tenant: str = "acme") -> Someone:
        return await self.someone(f"\\{tenant}\\boss-{next(numbers)}", Role.TENANT_ADMIN)

    async def admin(self) -> Someone:
        return await self.someone(f"\\platform\\root-{next(numbers)}", Role.ADMIN)


async def a_session(someone: Someone, title: str | None = None) -> dict[str, Any]:
    response = await someone.http.post("/v1/chat-sessions", json={"title": title})
    assert response.status_code == 201, response.text
    session: dict[str, Any] = response.json()
    return session


async def a_message(someone: Someone, session_id: str, content: str = "Hello") -> dict[str, Any]:
    response = await someone.http.post(
        f"/v1/chat-sessions/{session_id}/messages", json={"role": "user", "content": content}
    )
    assert response.status_code == 201, response.text
    message: dict[str, Any] = response.json()
    return message
