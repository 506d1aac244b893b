"""`Idempotency-Key`: what a request creates is created once, however often it is sent.

The key is stored with the answer, by the transaction of the write itself: there is never one
without the other, whatever crashes. It belongs to the user who sent it. An advisory lock, held
until that transaction ends, is how a second request learns at once that the first one is running;
should it ever slip past it, the primary key refuses its write at the end.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Annotated, Any, NamedTuple, Protocol, TypeVar
from uuid import UUID

from litestar import Request
from litestar.params import HeaderParameter
from litestar.serialization import encode_json
from sqlalchemy import Row

from app.databases.sessions import GeneralSession, UserSession
from app.http.canonical import canonical
from app.http.errors import Conflict, Invalid
from app.http.security import Principal
from app.http.stored_answers import LENGTH, NO_KEYS, AnswerKeys, AnswerRepository, Kept
from app.http.words import pattern

T = TypeVar("T")
HEADER = "Idempotency-Key"
OTHER_REQUEST = "Was sent with another request; use a key for one only."

Key = Annotated[
    str | None,
    HeaderParameter(
        name=HEADER,
        min_length=1,
        max_length=LENGTH,
        pattern=pattern(r"^ *[!-~][ -~]*$", "Send printable ASCII characters, not only spaces."),
        description="Makes a retry safe: repeat the request with the same key and body, and what "
        "the first one created is answered again, not created again. Up to 255 printable ASCII "
        "characters of your choice, a UUID for example; yours alone, kept for 24 hours.",
    ),
]


class KeyedRequest(NamedTuple):
    """A request that was sent under a key; `text` is equal for equal requests."""

    key: str
    text: str


async def keyed(request: Request[Any, Any, Any], key: str) -> KeyedRequest:
    """Reads by what a retry is known: the path, and the JSON however it was written.

    Raises Invalid for a key that is sent twice, or that holds more than its pattern allows.
    """
    # Of two, a proxy on the way might take the first for the key, and we the last.
    if len(request.headers.getall(HEADER)) > 1:
        raise Invalid.field(HEADER, "Sent more than once; send one.")
    # Python's `$` stands before a last line feed, too.
    if key.endswith("\n"):
        raise Invalid.field(HEADER, "Ends in a line feed; send printable ASCII characters.")
    sent = request.scope["path"] + canonical(await request.body() or b"null")
    # White space around a value is none of it, says HTTP; not every server or proxy strips it.
    return KeyedRequest(key.strip(), sent)


class Hashing(Protocol):
    """Slow, salted hashes: for a request that holds a password, no plain digest is stored."""

    async def hash(self, password: str, /) -> str: ...
    async def verify(self, stored: str | None, password: str, /) -> bool: ...


class Once:
    """One request that creates, in its session's transaction. Without a key it asks nothing."""

    def __init__(
        self,
        session: UserSession | GeneralSession,
        actor: Principal,
        request: KeyedRequest | None,
        *,
        kept_seconds: float,
        keys: AnswerKeys = NO_KEYS,
    ) -> None:
        self._request = request
        self._keys = keys
        self._kept = timedelta(seconds=kept_seconds)
        self._fingerprint = ""
        if request:
            self._answers = AnswerRepository(session, actor, request.key)

    async def stored(self, hashing: Hashing | None = None) -> bytes | None:
        """Return what the first request with this key was answered; None if this is the first.

        `hashing`: the request holds a password, and its fingerprint must not tell it. Raises
        Conflict for one that is still running, Invalid for another request with the same key.
        """
        if self._request is None:
            return None
        sent = self._request.text
        self._fingerprint = await hashing.hash(sent) if hashing else _digest(sent)
        row = await self._find()
        if row is None:
            return None
        if row.sealed is not None:
            return self._opened(row.sealed)
        if row.answer is None:
            raise Conflict(
                f"What this {HEADER} created was changed or deleted since; use another key."
            )
        if not await self._is_same(row.fingerprint, sent, hashing):
            raise Invalid.field(HEADER, OTHER_REQUEST)
        answer: bytes = row.answer
        return answer

    def _opened(self, sealed: bytes) -> bytes:
        kept = self._answers.opened(self._keys.opens, sealed)
        if kept is None:
            raise Conflict(f"What was answered to this {HEADER} cannot be read; use another key.")
        if kept.digest != self._fingerprint:
            raise Invalid.field(HEADER, OTHER_REQUEST)
        return kept.answer

    async def keep(
        self,
        answer: T | bytes,
        about: UUID | None = None,
        *,
        positions: tuple[int, int] | None = None,
        not_after: datetime | None = None,
    ) -> T | bytes:
        """Return the answer, and store it if there is a key. The write must have been made.

        `about`: with whose deletion the stored answer goes. In the general database: `positions`
        are the first and the last one of a conversation's messages that it quotes, and `not_after`
        is by when the write must be committed. Raises Conflict.
        """
        if self._request is None:
            return answer
        body = encode_json(answer)
        first, last = positions or (None, None)
        columns: dict[str, Any] = {"fingerprint": self._fingerprint, "answer": body}
        if self._keys.seals:
            columns = self._answers.sealed(self._keys.seals, Kept(body, self._fingerprint))
        kept = await self._answers.keep(
            **{"sealed": None, "seal_key": None} | columns,
            about_id=about,
            first_position=first,
            last_position=last,
            kept=self._kept,
            not_after=not_after,
        )
        if not kept:
            raise still_running()
        return body

    async def _find(self) -> Row[Any] | None:
        row = await self._answers.find()
        if row.is_expired is False:
            return row
        if not row.is_ours:
            raise still_running()
        if row.is_expired:
            await self._answers.drop_expired()
        return None

    async def _is_same(self, fingerprint: str, sent: str, hashing: Hashing | None) -> bool:
        if hashing is None:
            return fingerprint == self._fingerprint
        await self._answers.release()  # hashing must not hold a connection
        return await hashing.verify(fingerprint, sent)


def _digest(sent: str) -> str:
    return hashlib.sha256(sent.encode()).hexdigest()


def still_running() -> Conflict:
    return Conflict(f"A request with this {HEADER} is still running; send it again later.")
