"""Answers that are stored under an `Idempotency-Key`, in either database."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from sqlalchemy import Row, String, TextClause, text
from sqlalchemy.orm import Mapped, mapped_column

from app.databases.sealing.opening import Place, open_at, seal_at
from app.databases.sealing.person_keys import PersonKey
from app.databases.sessions import GeneralSession, UserSession, act_in_tenant
from app.http.security import Principal

LENGTH = 255


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


def _statements(table: str, owner: str, sealed: str = "CAST(NULL AS bytea)") -> Statements:
    return Statements(
        # Always one row. Who gets no lock is not the first, unless the key is there already.
        find=text(f"""
SELECT pg_try_advisory_xact_lock(hashtextextended(:name, 1)) AS is_ours,
       k.expires_at <= now() AS is_expired, k.fingerprint, k.answer, {sealed} AS sealed
FROM (VALUES (1)) AS always (here) LEFT JOIN {table} k
ON k.tenant_id = :tenant_id AND k.{owner} = :user_id AND k.key = :key
"""),  # noqa: S608  # names of ours
        drop=text(f"""
DELETE FROM {table}
WHERE tenant_id = :tenant_id AND {owner} = :user_id AND key = :key AND expires_at <= now()
"""),  # noqa: S608  # likewise
        keep=text(f"""
INSERT INTO {table} (tenant_id, {owner}, key, fingerprint, answer, about_id, expires_at)
VALUES (:tenant_id, :user_id, :key, :fingerprint, :answer, :about_id, now() + :kept)
ON CONFLICT DO NOTHING RETURNING key
"""),  # noqa: S608  # likewise
    )


STATEMENTS = {
    UserSession: _statements("user_idempotency_keys", "user_id"),
    # There the last statement of a write checks that it is still allowed; see write_answer.sql.
    GeneralSession: _statements("general_idempotency_keys", "user_id", "k.sealed")._replace(
        keep=text("""
SELECT 1 AS kept WHERE write_answer(
    :tenant_id, :user_id, :key, :fingerprint, :answer, :about_id, :first_position, :last_position,
    :kept, :sealed, :seal_key, :not_after)
""")
    ),
}


# Calls of an API key that acts for nobody, which are about users.
OF_API_KEYS = _statements("api_key_answers", "api_key_id")


class AnswerKeys(NamedTuple):
    """A person's key: one opens what was sealed, the other, if there is one, seals what is new."""

    opens: PersonKey | None = None
    seals: PersonKey | None = None


NO_KEYS = AnswerKeys()


class Kept(NamedTuple):
    """Holds an answer and the plain digest of its request: what is sealed of them."""

    answer: bytes
    digest: str


def answer_place(tenant_id: UUID, user_id: UUID, key: str) -> Place:
    return Place("general_idempotency_keys", tenant_id, user_id, user_id, key)


def sealed_answer(key: PersonKey, kept: Kept, where: Place) -> dict[str, Any]:
    """Give the columns of an answer that is sealed."""
    return {
        "answer": None,
        "fingerprint": key.digest(kept.digest.encode()).hex(),
        "sealed": seal_at(key, msgspec.msgpack.encode(kept), where),
    }


def opened_answer(key: PersonKey | None, sealed: bytes, where: Place) -> Kept | None:
    """Open what is stored; None for what cannot be opened."""
    text = open_at(key, sealed, where)
    return None if text is None else msgspec.msgpack.decode(text, type=Kept)


class AnswerRepository:
    """One caller's key, in the session's transaction.

    What an API key sends for a person is stored under that person, with the API key's id: neither
    another API key's nor the person's own is ever taken for it.
    """

    def __init__(self, session: UserSession | GeneralSession, actor: Principal, key: str) -> None:
        self._session = session
        self._statements = OF_API_KEYS if actor.acts_for_nobody else STATEMENTS[type(session)]
        key = _stored_key(actor, key)
        self._place = answer_place(actor.tenant_id, actor.user_id, key)
        self._tenant_id = actor.tenant_id
        self._name = f"{actor.tenant_id}|{actor.user_id}|{key}"
        self._whose = actor.whose | {"key": key}

    async def find(self) -> Row[Any]:
        """Tries the key's lock, and reads what is stored under it."""
        values = self._whose | {"name": self._name}
        return (await self._session.execute(self._statements.find, values)).one()

    async def drop_expired(self) -> None:
        await self._session.execute(self._statements.drop, self._whose)

    async def keep(self, **values: Any) -> bool:
        """Store the columns' values. False: another transaction has stored the key since."""
        if self._session.info.get("tenant_id") != self._tenant_id:
            await act_in_tenant(self._session, self._tenant_id)
        result = await self._session.execute(self._statements.keep, self._whose | values)
        return result.first() is not None

    def sealed(self, key: PersonKey, kept: Kept) -> dict[str, Any]:
        """Give the columns of an answer that is sealed."""
        return sealed_answer(key, kept, self._place) | {"seal_key": key.id}

    def opened(self, key: PersonKey | None, sealed: bytes) -> Kept | None:
        """Open what is stored; None for what cannot be opened."""
        return opened_answer(key, sealed, self._place)

    async def release(self) -> None:
        """Gives the connection back, after reading only."""
        await self._session.rollback()


def _stored_key(actor: Principal, key: str) -> str:
    """A person's own key is stored as it is sent, unless it looks like one of an API key's."""
    digest = hashlib.sha256(key.encode()).hexdigest()
    if actor.key_id is not None:
        return f"k:{actor.key_id}:{digest}"
    return f"u:{digest}" if key.startswith(("k:", "u:")) else key
