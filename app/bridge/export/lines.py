"""The kinds of lines that an export has, in the order in which they come."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from litestar.params import Body
from msgspec import Struct

from app.accounts import schemas as accounts
from app.accounts.api import audit
from app.chat import schemas as chat


class UserLine(accounts.Account, frozen=True, tag_field="type", tag="user"):
    """The first line is the account."""


class AuditEventLine(audit.AuditEvent, frozen=True, tag_field="type", tag="audit_event"):
    """There is one for each event that they caused, or that is about them, oldest first."""


class ChatSessionLine(chat.ChatSession, frozen=True, tag_field="type", tag="chat_session"):
    """There is one for each conversation, in order of creation."""


class MessageLine(chat.Message, frozen=True, tag_field="type", tag="message"):
    """There is one for each message, by conversation and position. PostgreSQL writes these."""


class LoginAddressLine(Struct, frozen=True, tag_field="type", tag="login_address"):
    """There is one for each address that they logged in from of late: a digest, no address."""

    address: str
    last_login_at: datetime


ExportLine = Annotated[
    UserLine | AuditEventLine | ChatSessionLine | MessageLine | LoginAddressLine,
    Body(title="ExportLine"),
]
