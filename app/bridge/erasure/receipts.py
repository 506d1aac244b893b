"""The chain of receipts, exported and verified. Verifying needs the file alone, no database.

An export is NDJSON, a receipt on each line, in the chain's order: seq, tenant_id, user_id,
chat_sessions, messages, finished_at, prev_hash, hash. `seq` counts 1, 2, 3 …; `prev_hash` is the
hash of the line before, of the first line 64 zeros. `hash` is the SHA-256, in lower-case hex, of
these in UTF-8, joined by `|`:

    bicameral-receipt-1|seq|tenant_id|user_id|chat_sessions|messages|finished_at|prev_hash

UUIDs are in lower case with dashes, numbers in plain decimals, the time is in UTC with six digits
of fraction, 2026-11-22T09:30:00.000000Z: each as it stands on the line, less JSON's quotes.

A receipt changed, inserted, removed or moved breaks the chain. One cut off at the end does not;
so keep the last hash of each export, and verify later ones with it.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Iterable
from datetime import UTC
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Row, text

from app.databases.database import Database
from app.databases.sessions import GeneralSession

FIRST_PREV_HASH = "0" * 64
VERSION = "bicameral-receipt-1"
PAGE = 1000
EXPORTED = text("SELECT * FROM exported_receipts(:after, :page)")


class ReceiptLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of an export."""

    seq: int
    tenant_id: str
    user_id: str
    chat_sessions: int
    messages: int
    finished_at: str
    prev_hash: str
    hash: str


class Chain(NamedTuple):
    """What a good chain comes to. `head` is its last hash."""

    receipts: int
    head: str


class BrokenChainError(ValueError):
    """Which line, and what is wrong with it."""


async def export(database: Database[GeneralSession]) -> AsyncGenerator[bytes]:
    after = 0
    while rows := await _page(database, after):
        for row in rows:
            yield msgspec.json.encode(_line(row)) + b"\n"
        after = rows[-1].seq


async def _page(database: Database[GeneralSession], after: int) -> list[Row[Any]]:
    async with database.one_statement() as connection:
        result = await connection.execute(EXPORTED, {"after": after, "page": PAGE})
        return list(result.all())


def _line(row: Row[Any]) -> ReceiptLine:
    return ReceiptLine(
        seq=row.seq,
        tenant_id=str(row.tenant_id),
        user_id=str(row.user_id),
        chat_sessions=row.chat_sessions,
        messages=row.messages,
        finished_at=row.finished_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        prev_hash=row.prev_hash,
        hash=row.hash,
    )


def hash_of(line: ReceiptLine) -> str:
    fields = (line.seq, line.tenant_id, line.user_id, line.chat_sessions, line.messages)
    parts = (VERSION, *fields, line.finished_at, line.prev_hash)
    return hashlib.sha256("|".join(map(str, parts)).encode()).hexdigest()


def verify(lines: Iterable[bytes], *, must_contain: str | None = None) -> Chain:
    """Raises BrokenChainError at the first line that does not follow from the one before."""
    chain, found = Chain(0, FIRST_PREV_HASH), must_contain in (None, FIRST_PREV_HASH)
    for text_line in lines:
        line = _parse(text_line, chain.receipts + 1)
        _check(line, chain)
        chain = Chain(line.seq, line.hash)
        found = found or line.hash == must_contain
    if not found:
        raise BrokenChainError(f"the chain ends before {must_contain}: receipts were cut off")
    return chain


def _parse(text_line: bytes, number: int) -> ReceiptLine:
    try:
        return msgspec.json.decode(text_line, type=ReceiptLine)
    except msgspec.DecodeError as error:
        raise BrokenChainError(f"line {number}: no receipt ({error})") from None


def _check(line: ReceiptLine, before: Chain) -> None:
    number = before.receipts + 1
    if line.seq != number:
        raise BrokenChainError(f"line {number}: receipt {line.seq} stands where {number} should")
    if line.prev_hash != before.head:
        raise BrokenChainError(f"line {number}: does not follow from the line before")
    if line.hash != hash_of(line):
        raise BrokenChainError(f"line {number}: was changed")
