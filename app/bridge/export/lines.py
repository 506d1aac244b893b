"""The kinds of lines that an export has, in the order in which they come."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from litestar.params import Body
from msgspec import Raw, Struct

from app.accounts import schemas as accounts
from app.accounts.api import audit, holds
from app.chat import schemas as chat
from app.http.document.texts import written_as


class UserLine(accounts.Account, frozen=True, tag_field="type", tag="user"):
    """The first line is the account."""


class AuditEventLine(audit.AuditEvent, frozen=True, tag_field="type", tag="audit_event"):
    """There is one for each event that they caused, or that is about them, oldest first."""


class ChatSessionLine(chat.ChatSession, frozen=True, tag_field="type", tag="chat_session"):
    """There is one for each conversation, in order of creation."""


class MessageLine(chat.Message, frozen=True, kw_only=True, tag_field="type", tag="message"):
    """There is one for each message, by conversation and position. PostgreSQL writes these.

    The last three are of what came through the conversations API: an item's own id, its members
    that no other field has, and whether the only part is the item itself.
    """

    item_id: str | None
    item_members: Annotated[Raw, written_as(dict[str, Any])] | None
    is_item: bool


class LoginAddressLine(Struct, frozen=True, tag_field="type", tag="login_address"):
    """There is one for each address that they logged in from of late: a digest, no address."""

    address: str
    last_login_at: datetime


class HoldLine(holds.Hold, frozen=True, tag_field="type", tag="hold"):
    """The last line, where there is a legal hold on them; those of before are audit events."""


ExportLine = Annotated[
    UserLine | AuditEventLine | ChatSessionLine | MessageLine | LoginAddressLine | HoldLine,
    Body(title="ExportLine"),
]
