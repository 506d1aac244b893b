"""The routes of API keys and tokens take and give these."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal
from uuid import UUID

from msgspec import Meta, Struct

from app.accounts.schemas import NO_NUL, Strict

LONGEST_SECONDS = 86_400


class KeyScope(StrEnum):
    """An API key may be used for these."""

    CHAT_READ = "chat:read"
    CHAT_WRITE = "chat:write"
    EXPORT = "export"
    USERS_READ = "users:read"
    USERS_WRITE = "users:write"
    USERS_ERASE = "users:erase"
    TOKENS = "tokens"


class TokenScope(StrEnum):
    """A minted token may be used for these; with `chat:write` alone it writes as `user` only."""

    CHAT_READ = "chat:read"
    CHAT_WRITE = "chat:write"
    CHAT_WRITE_ANY = "chat:write:any"


KeyName = Annotated[
    str, Meta(min_length=1, max_length=100, pattern=NO_NUL, examples=["production backend"])
]
KeyScopes = Annotated[
    list[KeyScope], Meta(min_length=1, max_length=7, examples=[["chat:read", "chat:write"]])
]
TokenScopes = Annotated[
    list[TokenScope], Meta(min_length=1, max_length=3, examples=[["chat:read", "chat:write"]])
]


class NewApiKey(Strict, frozen=True):
    name: KeyName
    scopes: KeyScopes
    expires_at: Annotated[datetime, Meta(tz=True)] | None = None
    tenant_id: UUID | None = None


class ApiKey(Struct, frozen=True):
    id: UUID
    tenant_id: UUID
    name: KeyName
    scopes: list[KeyScope]
    created_by: UUID | None
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


class MadeApiKey(ApiKey, frozen=True):
    """The only answer that ever holds the key itself."""

    key: Annotated[str, Meta(examples=["bic_key_…"])]


class ApiKeyPage(Struct, frozen=True):
    items: list[ApiKey]
    next: str | None


class NewToken(Strict, frozen=True):
    expires_in: Annotated[
        int,
        Meta(ge=1, le=LONGEST_SECONDS, description="Seconds, a day at most.", examples=[3600]),
    ]
    scopes: TokenScopes | None = None


class TokenInfo(Struct, frozen=True):
    """A live token, without the token itself."""

    id: UUID
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    kind: Annotated[Literal["login", "minted"], Meta(title="TokenKind")]
    is_current: bool


class TokenPage(Struct, frozen=True):
    items: list[TokenInfo]
    next: str | None
