"""Callers, persons and what they own, made in SQL, past every check of the service."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

import asyncpg
from uuid_utils.compat import uuid7

from app.accounts.keys import new_key
from app.accounts.tokens import new_token, token_digest
from tests.support.callers import Account, Callers
from tests.support.doors import BAD, CALLERS, FOREIGN, Caller, Came, Subject

LATER, PAST = timedelta(hours=1), -timedelta(hours=1)
STATES = {
    "active": "is_active",
    "administrator": "is_active",
    "foreign": "is_active",
    "blocked": "is_blocked",
    "inactive": "NOT is_active",
}


class Scene:
    """Makes rows in both databases; `credentials` are of callers who stay the same throughout."""

    def __init__(
        self, callers: Callers, user: asyncpg.Connection, general: asyncpg.Connection
    ) -> None:
        self._callers, self._user, self._general = callers, user, general
        self.credentials: dict[str, str] = {}
        self.people: dict[str, Account] = {}

    async def set(self) -> None:
        """Make a person in each state, and a credential of each kind."""
        for name in (*STATES, "erased"):
            self.people[name] = await self.someone(name)
        for caller in CALLERS:
            if caller.came is Came.KEY:
                _, self.credentials[caller.name] = await self.key(caller.home, caller.scopes or ())
            elif caller.came is Came.TOKEN:
                row = await self._callers.row(caller.home, caller.role)
                self.credentials[caller.name] = await self.token(row, caller.scopes)
        for name in BAD:
            self.credentials[name] = await self._bad(name)

    async def someone(self, state: str, tenant: str = "acme", role: str = "member") -> Account:
        """Make a person, whose external id begins with the state they are in."""
        tenant = FOREIGN.home if state == "foreign" else tenant
        row = await self._callers.row(tenant, "tenant_admin" if state == "administrator" else role)
        named = "UPDATE users SET external_id = $2 WHERE id = $1"
        await self._user.execute(named, row.id, external_id_of(row))
        if state in ("blocked", "inactive"):
            column = "is_blocked = true" if state == "blocked" else "is_active = false"
            await self._user.execute(f"UPDATE users SET {column} WHERE id = $1", row.id)
        if state == "erased":
            await self._user.execute("DELETE FROM users WHERE id = $1", row.id)
        return row

    async def key(
        self, tenant: str, scopes: Any = ("export",), lifetime: timedelta | None = None
    ) -> tuple[UUID, str]:
        key_id, sent = uuid7(), new_key()
        await self._user.execute(
            "INSERT INTO api_keys (tenant_id, id, name, digest, scopes, expires_at)"
            " VALUES ($1, $2, 'a key', $3, $4::text::jsonb, $5)",
            *(await self._callers.tenant(tenant), key_id, token_digest(sent)),
            *(json.dumps(sorted(scopes)), lifetime and datetime.now(UTC) + lifetime),
        )
        return key_id, sent

    async def token(
        self, row: Account, scopes: Any = None, lifetime: timedelta = LATER, key: UUID | None = None
    ) -> str:
        sent = new_token()
        await self._user.execute(
            "INSERT INTO access_tokens (digest, tenant_id, user_id, expires_at, scopes, api_key_id)"
            " VALUES ($1, $2, $3, $4, $5::text::jsonb, $6)",
            *(token_digest(sent), row.tenant_id, row.id, datetime.now(UTC) + lifetime),
            *(scopes and json.dumps(sorted(scopes)), key),
        )
        return sent

    async def _bad(self, name: str) -> str:
        boss = await self._callers.row("acme", "tenant_admin")
        match name:
            case "nothing":
                return ""
            case "unknown token":
                return new_token()
            case "expired token":
                return await self.token(boss, None, PAST)
            case "blocked person's token":
                return (await self.someone("blocked", role="tenant_admin")).token
            case "expired minted":
                return await self.token(boss, ["chat:read"], PAST)
            case "expired key":
                return (await self.key("acme", ["chat:read"], PAST))[1]
            case "mistyped key":
                key = (await self.key("acme", ["chat:read"]))[1]
                return key[:-1] + ("0" if key[-1] != "0" else "1")
            case _:
                key_id, sent = await self.key("acme", ["chat:read", "tokens"])
                minted = await self.token(boss, ["chat:read"], key=key_id)
                await self._user.execute("DELETE FROM api_keys WHERE id = $1", key_id)
                return sent if name == "revoked key" else minted

    def named(self, subject: Subject) -> list[str]:
        """Give the values of `On-Behalf-Of`: none, one or two."""
        if subject.is_missing:
            return []
        row = self.people.get(subject.name)
        match subject.name:
            case "twice":
                return [str(self.people["active"].id)] * 2
            case "malformed":
                return ["alice"]
            case "empty":
                return [""]
            case _ if subject.is_external:
                return [f"external:{external_id_of(row) if row else 'nobody'}"]
            case _:
                return [str(row.id if row else uuid4())]

    async def token_id(self, row: Account) -> UUID:
        """Give the id of another token of this person's."""
        digest = token_digest(await self.token(row))
        return await self._user.fetchval("SELECT id FROM access_tokens WHERE digest = $1", digest)

    async def owned(self, row: Account, target: Account, path: str) -> str:
        """Fill the path with ids of what is the person's, and of a user who is acted on."""
        values: dict[str, Any] = {"user_id": target.id, "position": 1}
        if path.endswith("/hold"):
            await self._user.execute(HOLD, target.tenant_id, target.id)
        if "{session_id}" in path:
            values["session_id"] = await self._callers.session(row, "theirs", "theirs")
        if "{token_id}" in path:
            values["token_id"] = await self.token_id(row)
        if "{key_id}" in path:
            values["key_id"] = (await self.key("acme"))[0]
        if "{conversation_id}" in path:
            session_id = await self._callers.session(row, "theirs", "theirs")
            values |= {
                "conversation_id": f"conv_{session_id.hex}",
                "item_id": f"msg_{session_id.hex}",
            }
        if "{external_id}" in path:
            known_as = external_id_of(target) if "/users/" in path else uuid4().hex
            values["external_id"] = quote(known_as, safe="")
        if "{tenant_id}" in path:
            values["tenant_id"] = await self._callers.tenant(f"t-{uuid4().hex}")
        return path.format(**values)

    async def rows(self) -> list[tuple[str, str]]:
        """Digest every table of both databases, but for when credentials were last used."""
        return [
            (table, await connection.fetchval(_DIGEST.format(table)))
            for connection in (self._user, self._general)
            for (table,) in await connection.fetch(_TABLES)
        ]


HOLD = (
    "INSERT INTO holds (tenant_id, user_id, reason) SELECT u.tenant_id, u.id, 'litigation'"
    " FROM users u WHERE u.tenant_id = $1 AND u.id = $2 ON CONFLICT DO NOTHING"
)
_TABLES = (
    "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
    " AND relkind = 'r' ORDER BY relname"
)
_DIGEST = (
    "SELECT md5(string_agg(line, ',' ORDER BY line))"
    " FROM (SELECT (to_jsonb(t) - 'last_used_at')::text AS line FROM {} t) AS lines"
)


def external_id_of(row: Account) -> str:
    return f"theirs/{row.id}"


def caller_named(name: str) -> Caller:
    return next(one for one in CALLERS if one.name == name)
