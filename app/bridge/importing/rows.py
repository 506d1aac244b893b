"""Turns lines back into the rows that were exported."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
from msgspec import UNSET, Raw, UnsetType

from app.bridge.export.full_lines import StoredMessage, StoredSession, without_line_ends
from app.bridge.importing.lines import ChatSession, Message, decode_metadata
from app.chat import metadata, parts
from app.chat.client_ids import digest_of
from app.chat.parts import Stored
from app.chat.schemas import NewMessage
from app.chat.sizes import ANY_TEXT, is_within
from app.http.errors import Invalid
from app.http.surrogates import without_halves

TOO_LARGE = "A message may have 1 MiB."
NO_CONTENT = "Send a text or a list of parts."
NO_OBJECT = "Send an object, or null."
OTHER_TEXT = "It is not the text of the member beside it."


def stored_session(line: ChatSession) -> StoredSession:
    """Raises Invalid for counts that cannot be."""
    if line.message_count > line.last_position:
        raise Invalid.field("message_count", "There are no more messages than positions.")
    source = line.forked_from
    return StoredSession(
        id=line.id,
        title=line.title,
        message_count=line.message_count,
        last_position=None if line.last_position == line.message_count else line.last_position,
        version=line.version,
        metadata=metadata.stored(line.metadata),
        external_id=line.external_id,
        expires_at=line.expires_at and _utc(line.expires_at),
        created_by=line.created_by,
        forked_from_session=source and source.session_id,
        forked_from_position=source and source.position,
        created_at=_utc(line.created_at),
        updated_at=_utc(line.updated_at),
    )


def stored_message(line: Message) -> StoredMessage:
    """Raises Invalid, with the member that is at fault."""
    said = _said(line.content, line.content_text)
    pairs = None if bytes(line.metadata) == b"{}" else _pairs(line.metadata)
    created_at, updated_at = _utc(line.created_at), _utc(line.updated_at)
    changed_at = None if created_at == updated_at else updated_at
    has_digest = line.client_digest is not None
    digest = _digest(line, said, pairs, changed_at) if has_digest else None
    sent = line.item_members
    members = None if sent is None else _members(sent, line.members_text)
    return StoredMessage(  # by place, which takes half as long as by name
        line.id,
        line.session_id,
        line.position,
        line.role,
        said.content,
        said.parts,
        metadata.stored(pairs),
        line.client_id,
        digest,
        line.item_id,
        members,
        line.is_item,
        line.status,
        line.created_by,
        created_at,
        changed_at,
    )


def _said(content: Raw, text: str | UnsetType) -> Stored:
    sent = bytes(content)
    if sent.startswith(b'"'):
        return _said_text(sent)
    if not sent.startswith(b"["):
        raise Invalid.field("content", NO_CONTENT)
    _check_size(sent, "content")
    parts.check_depth(sent, "content")
    return Stored(parts.text_of(sent, "content"), _as_sent(sent.decode(), text, "content_text"))


def _said_text(sent: bytes) -> Stored:
    try:
        text = parts.decode_text(sent)
        is_exact = "\0" not in text
        if is_exact and len(text) <= ANY_TEXT:
            return Stored(text, None)
    except msgspec.DecodeError:
        text = parts.decode_text(without_halves(sent))
        is_exact = False
    if len(text) > ANY_TEXT:
        _check_size(sent, "content")
    return Stored(text.replace("\0", parts.REPLACEMENT), None if is_exact else sent.decode())


def _check_size(sent: bytes, path: str) -> None:
    if not is_within(sent):
        raise Invalid.field(path, TOO_LARGE)


def _as_sent(json: str, text: str | UnsetType, path: str) -> str:
    if text is UNSET:
        return json
    if without_line_ends(text) != json:
        raise Invalid.field(path, OTHER_TEXT)
    return text


def _members(members: Raw, text: str | UnsetType) -> str | None:
    sent = bytes(members)
    if sent == b"null":
        return None
    if not sent.startswith(b"{"):
        raise Invalid.field("item_members", NO_OBJECT)
    _check_size(sent, "item_members")
    parts.check_depth(sent, "item_members")
    return _as_sent(sent.decode(), text, "members_text")


def _pairs(sent: Raw) -> metadata.Metadata:
    try:
        return decode_metadata(sent)
    except msgspec.ValidationError as error:
        raise msgspec.ValidationError(str(error).replace("`$", "`$.metadata")) from None


def _digest(
    line: Message, said: Stored, pairs: metadata.Metadata | None, changed_at: datetime | None
) -> bytes | None:
    """Take the exported digest, or compute it where the export over HTTP leaves it out.

    That cannot be done for a message that was edited: the digest is of the first request.
    """
    if line.client_digest is not UNSET:
        return bytes.fromhex(line.client_digest) if line.client_digest else None
    if line.client_id is None or changed_at is not None:
        return None
    sent = NewMessage(line.role, "", pairs, line.client_id, line.status)
    return digest_of(sent, said.content, said.parts)


def _utc(at: datetime) -> datetime:
    return at if at.tzinfo is UTC else at.astimezone(UTC)
