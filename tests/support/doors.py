"""Each operation lets some callers in and answers the others: the contract as a table.

It is written down from the contract, not read from the code.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, NamedTuple
from uuid import uuid4

from tests.support.factories import PASSWORD

KEY_SCOPES = (
    *("chat:read", "chat:write", "export"),
    *("users:read", "users:write", "users:erase", "tokens"),
)
EVERYBODY = frozenset({"member", "tenant_admin", "admin"})
ADMINISTRATORS = frozenset({"tenant_admin", "admin"})
PLATFORM = frozenset({"admin"})
ANY_MINTED = frozenset({"chat:read", "chat:write", "chat:write:any"})


class Came(Enum):
    """A credential is a token, a key, or neither, because it is no good."""

    BAD = "bad"
    TOKEN = "token"
    KEY = "key"


class Caller(NamedTuple):
    """`scopes` are None for a token of a login; `role` is a token's person's."""

    name: str
    came: Came
    scopes: frozenset[str] | None = None
    role: str = "member"
    home: str = "acme"


class Subject(NamedTuple):
    """The person named in `On-Behalf-Of`; `refusal` is 0 for one whom a key of acme acts for."""

    name: str
    refusal: int
    is_faulty: bool = False
    is_external: bool = False
    is_missing: bool = False


class Door(NamedTuple):
    """One operation: `success` is answered to whoever is let in."""

    success: int
    of_person: bool
    scopes: frozenset[str]  # an API key, and a minted token, need one of them
    roles: frozenset[str]
    body: Callable[[], Any] | None = None
    any_minted: bool = False
    query: str = ""


def _minted(*scopes: str, name: str = "") -> Caller:
    return Caller(name or f"minted, {' '.join(scopes)}", Came.TOKEN, frozenset(scopes))


def _key(name: str, *scopes: str, home: str = "acme") -> Caller:
    return Caller(name, Came.KEY, frozenset(scopes), home=home)


BAD = (
    *("nothing", "unknown token", "expired token", "blocked person's token", "expired minted"),
    *("minted by a revoked key", "revoked key", "expired key", "mistyped key"),
)
CALLERS = (
    *(Caller(name, Came.BAD) for name in BAD),
    Caller("member", Came.TOKEN, role="member"),
    Caller("tenant_admin", Came.TOKEN, role="tenant_admin"),
    Caller("admin", Came.TOKEN, role="admin", home="platform"),
    *(_minted("chat:read"), _minted("chat:write"), _minted("chat:read", "chat:write")),
    _minted("chat:read", "chat:write", "chat:write:any"),
    Caller("minted for an administrator", Came.TOKEN, ANY_MINTED, role="tenant_admin"),
    *(_key(f"key, {scope}", scope) for scope in KEY_SCOPES),
    _key("key of another tenant", *KEY_SCOPES, home="globex"),
)
FOREIGN = CALLERS[-1]

SUBJECTS = (
    Subject("missing", 0, is_missing=True),
    Subject("active", 0),
    Subject("active", 0, is_external=True),
    *(Subject("blocked", 403), Subject("blocked", 403, is_external=True)),
    *(Subject("inactive", 403), Subject("inactive", 403, is_external=True)),
    *(Subject("administrator", 403), Subject("administrator", 403, is_external=True)),
    *(Subject("erased", 410), Subject("erased", 404, is_external=True)),
    *(Subject("foreign", 404), Subject("foreign", 404, is_external=True)),
    *(Subject("unknown", 404), Subject("unknown", 404, is_external=True)),
    *(Subject(name, 400, is_faulty=True) for name in ("twice", "malformed", "empty")),
)


def expected(door: Door, path: str, caller: Caller, subject: Subject) -> int:
    """The answer's status, in the order of refusals of the contract."""
    if caller.came is Came.BAD:
        return 401
    if caller.came is Came.TOKEN:
        return door.success if _lets_person_in(door, caller, subject) else 403
    if subject.is_faulty or subject.is_missing == door.of_person:
        return 400
    if door.scopes.isdisjoint(caller.scopes or ()):
        return 403
    if door.of_person and caller is FOREIGN:
        return door.success if subject.name == "foreign" else 404
    if caller is FOREIGN and "{user_id}" in path:
        return 404
    return subject.refusal or door.success


def _lets_person_in(door: Door, caller: Caller, subject: Subject) -> bool:
    """A person acts for nobody else, by their role, and with a minted token by its scopes."""
    if not subject.is_missing or caller.role not in door.roles:
        return False
    return caller.scopes is None or door.any_minted or not door.scopes.isdisjoint(caller.scopes)


def person(
    success: int,
    *scopes: str,
    body: Callable[[], Any] | None = None,
    any_minted: bool = False,
    query: str = "",
) -> Door:
    """A person's own; an API key names them."""
    return Door(success, True, frozenset(scopes), EVERYBODY, body, any_minted, query)


def administration(
    success: int,
    *scopes: str,
    roles: frozenset[str] = ADMINISTRATORS,
    body: Callable[[], Any] | None = None,
) -> Door:
    """It is about no person of a key's; an API key names nobody."""
    return Door(success, False, frozenset(scopes), roles, body)


def _always(body: dict[str, Any]) -> Callable[[], Any]:
    return lambda: body


def _a_user() -> Any:
    name = f"new-{uuid4().hex}"
    return {"username": name, "email": f"{name}@example.org", "password": PASSWORD}


_NEW_PASSWORD = {"current_password": PASSWORD, "new_password": "another quiet corner of it"}
_MESSAGE = {"role": "user", "content": "mine"}
_NEW_KEY = {"name": "x", "scopes": ["export"]}

PUBLIC = {"get_live", "get_health", "get_ready", "log_in"}
DOORS: dict[str, Door] = {
    "log_out": person(204, any_minted=True),
    "get_me": person(200, "chat:read"),
    "change_password": person(204, body=_always(_NEW_PASSWORD)),
    "erase_me": person(202, body=_always({"current_password": PASSWORD})),
    "export_me": person(200, "export"),
    "list_my_tokens": person(200, "tokens"),
    "end_my_token": person(204, "tokens"),
    "create_chat_session": person(201, "chat:write", body=_always({"title": "mine"})),
    "list_chat_sessions": person(200, "chat:read"),
    "get_chat_session": person(200, "chat:read"),
    "put_chat_session": person(201, "chat:write"),
    "change_chat_session": person(200, "chat:write", body=_always({"title": "mine"})),
    "fork_chat_session": person(201, "chat:write"),
    "delete_chat_session": person(204, "chat:write"),
    "create_message": person(201, "chat:write", body=_always(_MESSAGE)),
    "create_messages": person(201, "chat:write", body=_always({"messages": [_MESSAGE] * 2})),
    "list_messages": person(200, "chat:read"),
    "get_message": person(200, "chat:read"),
    "edit_message": person(200, "chat:write", body=_always({"content": "mine"})),
    "delete_message": person(204, "chat:write"),
    "delete_messages": person(200, "chat:write", query="?after=0"),
    "create_conversation": person(200, "chat:write"),
    "list_conversations": person(200, "chat:read"),
    "get_conversation": person(200, "chat:read"),
    "change_conversation": person(200, "chat:write", body=_always({"metadata": {}})),
    "delete_conversation": person(200, "chat:write"),
    "create_items": person(200, "chat:write", body=_always({"items": [_MESSAGE]})),
    "list_items": person(200, "chat:read"),
    "get_item": person(200, "chat:read"),
    "delete_item": person(200, "chat:write"),
    "create_user": administration(201, "users:write", body=_a_user),
    "list_users": administration(200, "users:read"),
    "get_user": administration(200, "users:read"),
    "change_user": administration(200, "users:write", body=_always({"is_active": False})),
    "delete_user": administration(202, "users:erase"),
    "put_external_user": administration(200, "users:write", body=_always({"roles": ["member"]})),
    "get_external_user": administration(200, "users:read"),
    "block_user": administration(200, "users:write"),
    "unblock_user": administration(200, "users:write"),
    "put_hold": administration(202, body=_always({"reason": "litigation"})),
    "get_hold": administration(200),
    "lift_hold": administration(204),
    "mint_token": administration(201, "tokens", body=_always({"expires_in": 60})),
    "end_tokens": administration(204, "tokens"),
    "export_user": administration(200, "export"),
    "list_erasures": administration(200, "users:read", "users:erase"),
    "get_erasure": administration(200, "users:read", "users:erase"),
    "create_api_key": administration(201, body=_always(_NEW_KEY)),
    "list_api_keys": administration(200),
    "get_api_key": administration(200),
    "delete_api_key": administration(204),
    "list_audit_events": administration(200),
    "create_tenant": administration(
        201, roles=PLATFORM, body=lambda: {"name": f"fresh-{uuid4().hex}"}
    ),
    "list_tenants": administration(200, roles=PLATFORM),
    "get_tenant": administration(200, roles=PLATFORM),
    "change_tenant": administration(200, roles=PLATFORM, body=_always({"retention_days": None})),
    "delete_tenant": administration(202, roles=PLATFORM),
}
# What a key with the scope is answered where the path names one of these instead of a member.
_HIDDEN = {"erased": 404, "foreign": 404, "unknown": 404, "malformed": 404}
_MUTED = {"blocked": 200, "inactive": 200, "administrator": 403} | _HIDDEN
_NEW = {"erased": 201, "foreign": 201, "unknown": 201, "malformed": 422}
POWERS: dict[str, dict[str, int]] = {
    "get_external_user": _MUTED | {"administrator": 200, "malformed": 422},
    "put_external_user": _MUTED | _NEW,  # whose id nobody has in this tenant is somebody new
    "get_user": _MUTED | {"administrator": 200},
    "change_user": _MUTED,
    "delete_user": _MUTED | {"blocked": 202, "inactive": 202},
    "block_user": _MUTED,
    "unblock_user": _MUTED,
    "mint_token": _MUTED | {"blocked": 403, "inactive": 403},
    "end_tokens": _MUTED | {"blocked": 204, "inactive": 204},
    "export_user": _MUTED,
    "get_erasure": dict.fromkeys(_MUTED, 404) | {"erased": 200},
}
