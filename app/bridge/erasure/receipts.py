"""The chain of receipts, exported and verified. Verifying needs the file alone, no database.

An export is NDJSON, one receipt a line, in the chain's order: seq, tenant_id, user_id,
chat_sessions, messages, finished_at, prev_hash, hash. `seq` counts 1, 2, 3 …; `prev_hash` is the
hash of the line before, and 64 zeros on the first line. `hash` is the SHA-256, in lower-case hex,
of these in UTF-8, joined by `|`:

    bicameral-receipt-1|seq|tenant_id|user_id|chat_sessions|messages|finished_at|prev_hash

UUIDs are in lower case with dashes, numbers in plain decimals, the time is in UTC with six digits
of fraction, 2026-11-22T09:30:00.000000Z: each as it stands on the line, without JSON's quotes.

A receipt that was changed, inserted, removed or moved breaks the chain. Receipts cut off at the end
do not; so keep the last hash of each export, and verify later exports with it.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Iterable
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

import msgspec
from sqlalchemy import text

from app.bridge.rows import fetch_as
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


class StoredReceipt(NamedTuple):
    """A row of `erasure_receipts`."""

    seq: int
    tenant_id: UUID
    user_id: UUID
    chat_sessions: int
    messages: int
    finished_at: datetime
    prev_hash: str
    hash: str


class Chain(NamedTuple):
    """An unbroken chain: how many receipts it has, and its last hash."""

    receipts: int
    head: str


class BrokenChainError(ValueError):
    """The message names the line and what is wrong with it."""


async def export(database: Database[GeneralSession], page: int = PAGE) -> AsyncGenerator[bytes]:
    """Yield the chain line by line, read in pages."""
    after = 0
    while rows := await fetch_as(StoredReceipt, database, EXPORTED, {"after": after, "page": page}):
        for row in rows:
            yield msgspec.json.encode(_line(row)) + b"\n"
        after = rows[-1].seq


def _line(row: StoredReceipt) -> ReceiptLine:
    finished_at = row.finished_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    texts = {"tenant_id": str(row.tenant_id), "user_id": str(row.user_id)}
    return msgspec.convert(row._asdict() | texts | {"finished_at": finished_at}, ReceiptLine)


def hash_of(line: ReceiptLine) -> str:
    fields = (line.seq, line.tenant_id, line.user_id, line.chat_sessions, line.messages)
    parts = (VERSION, *fields, line.finished_at, line.prev_hash)
    return hashlib.sha256("|".join(map(str, parts)).encode()).hexdigest()


def verify(lines: Iterable[bytes], *, must_contain: str | None = None) -> Chain:
    """Check a whole export; raises BrokenChainError at the first line that does not follow."""
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
