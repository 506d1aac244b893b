"""The chain of receipts, exported and verified. Verifying needs the file alone, no database.

An export is NDJSON, one receipt a line, in the chain's order. `seq` counts 1, 2, 3 …; `prev_hash`
is the hash of the line before, and 64 zeros on the first line. `hash` is a SHA-256 in lower-case
hex. UUIDs are in lower case with dashes, numbers in plain decimals, times in UTC with six digits of
fraction, 2026-11-22T09:30:00.000000Z.

A line with a member `v` is of that version. Version 2, `"v": 2`, has these members: seq, kind,
tenant_id, user_id, chat_sessions, messages, cutoff, finished_at, prev_hash, hash. `kind` is
`erasure` (user_id was deleted; no `cutoff`) or `retention` (user_id is the receipt's own). Where
the person's words were ever sealed, sealed, key_destroyed_at and unrecoverable_after join as the
API's erasure has them. The hash is of this text in UTF-8: the word `bicameral-receipt-2`, then
every other member of the line but `hash` as `name=value`, sorted by name in ASCII, all joined by
`|`:

    bicameral-receipt-2|chat_sessions=3|cutoff=2026-…Z|finished_at=2026-…Z|kind=retention|…|v=2

A value stands there as on the line, without JSON's quotes; a member that is not on the line is not
there either. Whatever members a later receipt of version 2 may have join by the same rule.

A line without `v` is of version 1, from before. Its hash is of these values, joined by `|`:

    bicameral-receipt-1|seq|tenant_id|user_id|chat_sessions|messages|finished_at|prev_hash

A receipt that was changed, inserted, removed or moved breaks the chain. Receipts cut off at the end
do not; so keep the last hash of each export, and verify later exports with it. A restore of the
general database cuts off, too, and writes other receipts under the same numbers; an earlier export
says which ones are missing (earlier.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Iterable, Iterator
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType
from sqlalchemy import text

from app.bridge.rows import fetch_as
from app.databases.database import Database
from app.databases.sessions import GeneralSession

FIRST_PREV_HASH = "0" * 64
PAGE = 1000
EXPORTED = text("SELECT * FROM exported_receipts(:after, :page)")

# Nothing in a text of version 2 can look like the `|` or `=` between two members.
Plain = Annotated[str, Meta(pattern=r"^[0-9A-Za-z:.-]*$")]


class ReceiptLine1(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of version 1. The program before version 2 stops at any other: "unknown field"."""

    seq: int
    tenant_id: str
    user_id: str
    chat_sessions: int
    messages: int
    finished_at: str
    prev_hash: str
    hash: str


class ReceiptLine2(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of version 2. `v` comes first, where the program before names it when it stops."""

    v: Literal[2]
    seq: int
    kind: Literal["erasure", "retention"]
    tenant_id: Plain
    user_id: Plain
    chat_sessions: int
    messages: int
    finished_at: Plain
    prev_hash: Plain
    hash: Plain
    cutoff: Plain | UnsetType = UNSET
    sealed: bool | UnsetType = UNSET
    key_destroyed_at: Plain | UnsetType = UNSET
    unrecoverable_after: Plain | UnsetType = UNSET


ReceiptLine = ReceiptLine1 | ReceiptLine2
LINES: dict[int, type[ReceiptLine1 | ReceiptLine2]] = {1: ReceiptLine1, 2: ReceiptLine2}


class AnyLine(msgspec.Struct):
    """The version of a line, all that is looked at before it is known how to read the rest."""

    v: int = 1


class StoredReceipt(NamedTuple):
    """A row of `erasure_receipts`."""

    v: int
    seq: int
    kind: str
    tenant_id: UUID
    user_id: UUID
    chat_sessions: int
    messages: int
    finished_at: datetime
    cutoff: datetime | None
    sealed: bool | None
    key_destroyed_at: datetime | None
    unrecoverable_after: datetime | None
    prev_hash: str
    hash: str


class Chain(NamedTuple):
    """An unbroken chain: how many receipts it has, and its last hash."""

    receipts: int
    head: str


class BrokenChainError(ValueError):
    """The message names the line and what is wrong with it."""


class EndsBeforeError(BrokenChainError):
    """The chain is unbroken, but lacks what it must contain; the message says why that may be."""


async def export(database: Database[GeneralSession], page: int = PAGE) -> AsyncGenerator[bytes]:
    """Yield the chain line by line, read in pages."""
    after = 0
    while rows := await fetch_as(StoredReceipt, database, EXPORTED, {"after": after, "page": page}):
        for row in rows:
            yield msgspec.json.encode(_line(row)) + b"\n"
        after = rows[-1].seq


def _line(row: StoredReceipt) -> ReceiptLine:
    shape = LINES[row.v]
    known = {name: getattr(row, name) for name in shape.__struct_fields__}
    return msgspec.convert(
        {name: _exported(value) for name, value in known.items() if value is not None}, shape
    )


def _exported(value: Any) -> Any:
    match value:
        case datetime():
            return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        case UUID():
            return str(value)
        case _:
            return value


def hash_of(line: ReceiptLine) -> str:
    if isinstance(line, ReceiptLine1):
        fields = (line.seq, line.tenant_id, line.user_id, line.chat_sessions, line.messages)
        parts = ["bicameral-receipt-1", *map(str, fields), line.finished_at, line.prev_hash]
    else:
        members: dict[str, Any] = msgspec.to_builtins(line)
        del members["hash"]
        texts = (f"{name}={_on_the_line(members[name])}" for name in sorted(members))
        parts = ["bicameral-receipt-2", *texts]
    return hashlib.sha256("|".join(parts).encode()).hexdigest()


def _on_the_line(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def verify(lines: Iterable[bytes], *, must_contain: str | None = None) -> Chain:
    """Check a whole export; raises BrokenChainError at the first line that does not follow.

    Raises EndsBeforeError if nothing is wrong with it but that the hash is missing.
    """
    chain, finished_at = Chain(0, FIRST_PREV_HASH), "never"
    found = must_contain in (None, FIRST_PREV_HASH)
    for line in checked(lines):
        chain, finished_at = Chain(line.seq, line.hash), line.finished_at
        found = found or line.hash == must_contain
    if not found:
        raise EndsBeforeError(
            f"the chain is unbroken and ends at receipt {chain.receipts}, finished {finished_at};"
            f" {must_contain} is of a receipt that is not in it. Either receipts were cut off, or"
            " the general database was restored from a backup that is older than that receipt:"
            " then litestar reconcile --repair erases again who had one, and the new receipts have"
            " other hashes. --contains with an earlier export in place of the hash says whose"
            " receipts are missing."
        )
    return chain


def checked(lines: Iterable[bytes]) -> Iterator[ReceiptLine]:
    """Yield the receipts; raises BrokenChainError at the first line that does not follow."""
    chain = Chain(0, FIRST_PREV_HASH)
    for text_line in lines:
        line = _parse(text_line, chain.receipts + 1)
        _check(line, chain)
        chain = Chain(line.seq, line.hash)
        yield line


def _parse(text_line: bytes, number: int) -> ReceiptLine:
    try:
        version = msgspec.json.decode(text_line, type=AnyLine).v
        if version not in LINES:
            known = "this program knows 1 and 2; verify with a newer one"
            raise BrokenChainError(f"line {number}: a receipt of version {version}; {known}")
        return msgspec.json.decode(text_line, type=LINES[version])
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
