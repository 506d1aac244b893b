"""`Idempotency-Key`: what a request creates is created once, however often it is sent.

The key is stored with the answer, by the transaction of the write itself: there is never one
without the other, whatever crashes. It belongs to the user who sent it. An advisory lock, held
until that transaction ends, is how a second request learns at once that the first one is running;
should it ever slip past it, the primary key refuses its write at the end.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Annotated, Any, NamedTuple, TypeVar
from uuid import UUID

import msgspec
from litestar import Request, Response
from litestar.params import HeaderParameter
from litestar.serialization import encode_json
from sqlalchemy import Row, String, TextClause, text
from sqlalchemy.orm import Mapped, mapped_column

from app.databases.sessions import GeneralSession, UserSession, act_in_tenant
from app.http.errors import Conflict, Invalid
from app.http.security import Passwords, Principal

T = TypeVar("T")
HEADER = "Idempotency-Key"
LENGTH = 255

Key = Annotated[
    str | None,
    HeaderParameter(
        name=HEADER,
        min_length=1,
        max_length=LENGTH,
        pattern=r"^ *[!-~][ -~]*$(?!\n)",
        description="Makes a retry safe: repeat the request with the same key and body, and what "
        "the first one created is answered again, not created again. Up to 255 printable ASCII "
        "characters of your choice, a UUID for example; yours alone, kept for 24 hours.",
    ),
]


class StoredAnswer:
    """The columns of both databases' tables of keys.

    `about_id` is what the answer tells of, where the answer must not outlive it.
    """

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(LENGTH), primary_key=True)
    fingerprint: Mapped[str | None]
    answer: Mapped[bytes | None]
    about_id: Mapped[UUID | None]
    expires_at: Mapped[datetime]


class Statements(NamedTuple):
    find: TextClause
    drop: TextClause
    keep: TextClause


def _statements(table: str) -> Statements:
    return Statements(
        # Always one row. Who gets no lock is not the first, unless the key is there already.
        find=text(f"""
SELECT pg_try_advisory_xact_lock(hashtextextended(:name, 1)) AS is_ours,
       k.expires_at <= now() AS is_expired, k.fingerprint, k.answer
FROM (VALUES (1)) AS always (here) LEFT JOIN {table} k
ON k.tenant_id = :tenant_id AND k.user_id = :user_id AND k.key = :key
"""),  # noqa: S608  # one of two names of ours, here and below
        drop=text(f"""
DELETE FROM {table}
WHERE tenant_id = :tenant_id AND user_id = :user_id AND key = :key AND expires_at <= now()
"""),  # noqa: S608
        keep=text(f"""
INSERT INTO {table} (tenant_id, user_id, key, fingerprint, answer, about_id, expires_at)
VALUES (:tenant_id, :user_id, :key, :fingerprint, :answer, :about_id, now() + :kept)
ON CONFLICT DO NOTHING RETURNING key
"""),  # noqa: S608
    )


STATEMENTS = {
    UserSession: _statements("user_idempotency_keys"),
    GeneralSession: _statements("general_idempotency_keys"),
}


class Once:
    """One request that creates, in its session's transaction. Without a key it asks nothing."""

    def __init__(
        self,
        request: Request[Principal, Any, Any],
        session: UserSession | GeneralSession,
        key: str | None,
    ) -> None:
        self._request = request
        self._session = session
        # White space around a value is none of it, says HTTP; not every server or proxy strips it.
        self._key = key and key.strip()
        self._statements = STATEMENTS[type(session)]
        self._fingerprint = ""

    async def stored(self, passwords: Passwords | None = None) -> Response[Any] | None:
        """What the first request with this key was answered. None: this is the first.

        `passwords` is for a body that holds one: of a plain digest it could be guessed.
        Raises Conflict while the first one is running, Invalid if it was another request.
        """
        if self._key is None:
            return None
        # Of two, a proxy on the way might take the first for the key, and we the last.
        if len(self._request.headers.getall(HEADER)) > 1:
            raise Invalid.field(HEADER, "Sent more than once; send one.")
        sent = await self._sent()
        self._fingerprint = await passwords.hash(sent) if passwords else _digest(sent)
        row = await self._find()
        if row is None:
            return None
        if row.answer is None:
            raise Conflict(f"What this {HEADER} created was deleted since; use another key.")
        if not await self._is_same(row.fingerprint, sent, passwords):
            raise Invalid.field(HEADER, "Was sent with another request; use a key for one only.")
        return Response(row.answer)

    async def keep(self, answer: T, about: UUID | None = None) -> Response[T]:
        """The answer, stored if there is a key. The write must have been made.

        `about`: with whose deletion the stored answer goes. Raises Conflict.
        """
        if self._key is None:
            return Response(answer)
        body: Any = encode_json(answer)
        principal = self._request.user
        if self._session.info.get("tenant_id") != principal.tenant_id:
            await act_in_tenant(self._session, principal.tenant_id)
        seconds = self._request.app.state.settings.idempotency_kept_seconds
        what = {"fingerprint": self._fingerprint, "answer": body, "about_id": about}
        values = self._whose | what | {"kept": timedelta(seconds=seconds)}
        if (await self._session.execute(self._statements.keep, values)).first() is None:
            raise _running()
        return Response(body)

    async def _sent(self) -> str:
        """The request as text: equal for the same JSON, however it was written."""
        body = msgspec.json.decode(await self._request.body() or b"null")
        return self._request.scope["path"] + msgspec.json.encode(body, order="sorted").decode()

    async def _find(self) -> Row[Any] | None:
        name = f"{self._request.user.tenant_id}|{self._request.user.user_id}|{self._key}"
        values = self._whose | {"name": name}
        row = (await self._session.execute(self._statements.find, values)).one()
        if row.is_expired is False:
            return row
        if not row.is_ours:
            raise _running()
        if row.is_expired:
            await self._session.execute(self._statements.drop, self._whose)
        return None

    async def _is_same(self, fingerprint: str, sent: str, passwords: Passwords | None) -> bool:
        if passwords is None:
            return fingerprint == self._fingerprint
        await self._session.rollback()  # hashing must not hold a connection
        return await passwords.verify(fingerprint, sent)

    @property
    def _whose(self) -> dict[str, Any]:
        user = self._request.user
        return {"tenant_id": user.tenant_id, "user_id": user.user_id, "key": self._key}


def _digest(sent: str) -> str:
    return hashlib.sha256(sent.encode()).hexdigest()


def _running() -> Conflict:
    return Conflict(f"A request with this {HEADER} is still running; send it again later.")
