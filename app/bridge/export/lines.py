"""The kinds of lines that an export has, in the order in which they come."""

from __future__ import annotations

from typing import Annotated

from litestar.params import Body

from app.accounts import schemas as accounts
from app.chat import schemas as chat


class UserLine(accounts.Account, frozen=True, tag_field="type", tag="user"):
    """The first line is the account."""


class ChatSessionLine(chat.ChatSession, frozen=True, tag_field="type", tag="chat_session"):
    """There is one for each conversation, in order of creation."""


class MessageLine(chat.Message, frozen=True, tag_field="type", tag="message"):
    """There is one for each message, by conversation and position. PostgreSQL writes these."""


ExportLine = Annotated[UserLine | ChatSessionLine | MessageLine, Body(title="ExportLine")]
