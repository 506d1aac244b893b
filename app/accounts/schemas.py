"""The account routes take and give these; every field is named, so none can slip out."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType

from app.http.external_ids import ExternalId
from app.http.security import Role
from app.http.words import pattern

# `\Z`, the end, is published as JavaScript's `$`. Python's `$` also stands before a last newline.
# Not `.`, `..` or `-`, which mean something else in paths and on command lines. Spelt out, since a
# lookahead breaks generators of clients.
SIGN = "[A-Za-z0-9._-]"
OWN = (
    rf"(?:[A-Za-z0-9_]{SIGN}{{0,63}}|-{SIGN}{{1,63}}"
    rf"|\.[A-Za-z0-9_-]{SIGN}{{0,62}}|\.\.{SIGN}{{1,62}})\Z"
)
# Spelt out: Python's and JavaScript's `\s` are not the same characters. This has all of both, and
# what cannot be seen, which would make two addresses of one; email_key.sql leaves out the same.
SPACE_OR_INVISIBLE = (
    r"\u0000-\u0020\u007f-\u00a0\u00ad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f"
    r"\u2000-\u200f\u2028-\u202f\u205f-\u206f\u2800\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0"
    r"\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
NEITHER_AT_NOR_SPACE = rf"[^@{SPACE_OR_INVISIBLE}]"
TENANT = r"[a-z0-9-]{1,63}"
NO_NUL = pattern(r"^[^\x00]*$", "Leave the character U+0000 out.")

TenantName = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=63,
        pattern=pattern(rf"^{TENANT}\Z", "Send small letters of a to z, digits and hyphens only."),
        examples=["acme"],
    ),
]
FullUsername = Annotated[
    str,
    Meta(min_length=1, max_length=255, pattern=NO_NUL, examples=["\\demo\\alice"]),
]
NewUsername = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=129,
        pattern=pattern(
            rf"^(\\{TENANT}\\)?{OWN}",
            "Send letters of A to Z, digits, dots, hyphens and underscores, up to 64 of them, but "
            "not just a dot, two dots or a hyphen; before them, if you like, the tenant between "
            "backslashes.",
        ),
        examples=["alice", "\\acme\\alice"],
    ),
]
Email = Annotated[
    str,
    Meta(
        min_length=3,
        max_length=255,
        pattern=pattern(
            rf"^{NEITHER_AT_NOR_SPACE}+@{NEITHER_AT_NOR_SPACE}+\Z",
            "Send an e-mail address: one @, and neither spaces nor characters that cannot be seen.",
        ),
        # RE2, which Go's clients have, knows no `\u`: the document says it shorter.
        extra_json_schema={"extra": {"pattern": r"^[^@\s]+@[^@\s]+$"}},
        examples=["alice@example.org"],
    ),
]
NewPassword = Annotated[
    str,
    Meta(
        min_length=15,
        max_length=128,
        description="Characters of any kind but U+0000; what is easy to guess is refused.",
        examples=["a quiet corner of the library"],
    ),
]
Password = Annotated[
    str, Meta(min_length=1, max_length=1024, examples=["a quiet corner of the library"])
]
RetentionDays = Annotated[int, Meta(ge=1, le=36_500, examples=[365])]
Reason = Annotated[str, Meta(max_length=1000, pattern=NO_NUL, examples=["spam, ticket 4711"])]
ErasureState = Annotated[Literal["pending", "complete"], Meta(title="ErasureState")]
Roles = Annotated[list[Role], Meta(min_length=1, max_length=3, examples=[["member"]])]


class Strict(Struct, frozen=True, forbid_unknown_fields=True):
    """A request's body."""


class Login(Strict, frozen=True):
    username: FullUsername
    password: Password


class Token(Struct, frozen=True):
    access_token: Annotated[str, Meta(examples=["bic_…"])]
    token_type: Literal["bearer"]
    expires_at: datetime


class LoginToken(Token, frozen=True):
    """`must_change_password`: an administrator chose it, so ask for another one."""

    must_change_password: bool


class CurrentPassword(Strict, frozen=True):
    current_password: Password


class PasswordChange(Strict, frozen=True):
    current_password: Password
    new_password: NewPassword


class NewTenant(Strict, frozen=True):
    name: TenantName


class TenantChange(Strict, frozen=True):
    retention_days: RetentionDays | UnsetType | None = UNSET


class Tenant(Struct, frozen=True):
    id: UUID
    name: TenantName
    retention_days: int | None
    created_at: datetime


class TenantPage(Struct, frozen=True):
    items: list[Tenant]
    next: str | None


class NewUser(Strict, frozen=True):
    """Without `external_id`, the first three must be there."""

    username: NewUsername | None = None
    email: Email | None = None
    password: NewPassword | None = None
    roles: Roles | None = None
    tenant_id: UUID | None = None
    external_id: ExternalId | None = None

    @property
    def missing(self) -> list[str]:
        """List the fields that must yet be sent."""
        needed = () if self.external_id is not None else ("username", "email", "password")
        return [name for name in needed if getattr(self, name) is None]


class ExternalUser(Strict, frozen=True):
    """The facts to put. What is left out stays; an `email` of null is taken away."""

    username: NewUsername | UnsetType = UNSET
    email: Email | UnsetType | None = UNSET
    roles: Roles | UnsetType = UNSET


class UserChange(Strict, frozen=True):
    email: Email | UnsetType = UNSET
    roles: Roles | UnsetType = UNSET
    is_active: bool | UnsetType = UNSET


class Block(Strict, frozen=True):
    reason: Reason | None = None


class User(Struct, frozen=True):
    id: UUID
    tenant_id: UUID
    username: Annotated[str, Meta(examples=["\\demo\\alice"])]
    email: Annotated[str | None, Meta(examples=["alice@example.org"])]
    external_id: Annotated[str | None, Meta(examples=["user-4711"])]
    roles: list[Role]
    is_active: bool
    is_blocked: bool
    created_at: datetime
    updated_at: datetime


class Account(User, frozen=True):
    """One's own account. `must_change_password`: an administrator chose the password."""

    must_change_password: bool


class UserPage(Struct, frozen=True):
    items: list[User]
    next: str | None


class Erasure(Struct, frozen=True):
    """The erasure of one user's conversations. Counts and receipt are there once it is complete.

    `sealed` says that no backup of the general database had anything readable of theirs when their
    key was destroyed; `unrecoverable_after`, from when on nobody can read it with any backup.
    """

    user_id: UUID
    tenant_id: UUID
    state: ErasureState
    requested_at: datetime
    completed_at: datetime | None
    chat_sessions: int | None
    messages: int | None
    receipt: str | None
    sealed: bool
    key_destroyed_at: datetime | None
    unrecoverable_after: datetime | None


class TenantErasure(Struct, frozen=True):
    """The erasure of all users of a tenant; `Location` lists them one by one."""

    tenant_id: UUID
    state: Literal["pending"]
    users: int
