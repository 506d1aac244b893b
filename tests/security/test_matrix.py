"""Every operation of the OpenAPI document is tried by everyone who might try.

An operation that is new has no line in EXPECTED, and fails until somebody has thought about it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, cast
from uuid import uuid4

import httpx
import pytest
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute

from app.http.routes import get
from app.http.security import GuardedHandler, is_public
from tests.support.callers import CALLERS, INSIDE, REFUSED, Callers, Victim
from tests.support.factories import PASSWORD
from tests.support.operations import OPERATIONS, Operation, unconnected

OPEN_TO_ANYONE = {
    *("/", "/health", "/health/live", "/health/ready", "/metrics"),
    *("/schema", "/schema/openapi.json", "/schema/{path:str}", "/schema/static/{name:str}"),
}

Answers = dict[str, int]
Body = Callable[[Victim], Any]


def public(status: int) -> Answers:
    return dict.fromkeys(CALLERS, status)


def inside(status: int, **others: int) -> Answers:
    """Whoever has a valid token, but for the others."""
    return dict.fromkeys(REFUSED, 401) | dict.fromkeys(INSIDE, status) | others


def owner(status: int) -> Answers:
    return inside(404, owner=status)


def administrators(status: int, elsewhere: int = 404) -> Answers:
    return inside(status, peer=403, stranger=403, owner=403, foreign_boss=elsewhere)


def platform(status: int) -> Answers:
    return inside(403, root=status)


class Rule(NamedTuple):
    answers: Answers
    body: Body | None = None
    shows_conversations: bool = False


def always(body: dict[str, Any]) -> Body:
    def make(_: Victim) -> Any:
        return body

    return make


def a_user(victim: Victim) -> Any:
    name = f"new-{uuid4().hex}"
    who = {"username": name, "email": f"{name}@example.org", "password": PASSWORD}
    return {**who, "tenant_id": str(victim.owner.tenant_id)}


def a_key(victim: Victim) -> Any:
    return {"name": "x", "scopes": ["export"], "tenant_id": str(victim.owner.tenant_id)}


def credentials(victim: Victim) -> Any:
    return {"username": victim.owner.username, "password": PASSWORD}


NEW_PASSWORD = {"current_password": PASSWORD, "new_password": "another quiet corner of it"}
A_MESSAGE = {"role": "user", "content": "mine"}
AN_ITEM = {"type": "message", **A_MESSAGE}
EXPECTED: dict[str, Rule] = {
    "get_live": Rule(public(200)),
    "get_health": Rule(public(200)),
    "get_ready": Rule(public(200)),
    "log_in": Rule(public(200), credentials),
    "log_out": Rule(inside(204)),
    "get_me": Rule(inside(200)),
    "export_me": Rule(inside(200)),
    "change_password": Rule(inside(204), always(NEW_PASSWORD)),
    "erase_me": Rule(inside(202), always({"current_password": PASSWORD})),
    "create_tenant": Rule(platform(201), always({"name": "fresh"})),
    "list_tenants": Rule(platform(200)),
    "get_tenant": Rule(platform(200)),
    "change_tenant": Rule(platform(200), always({"retention_days": 30})),
    "delete_tenant": Rule(platform(202)),
    "create_user": Rule(administrators(201), a_user),
    "list_users": Rule(administrators(200, elsewhere=200)),
    "get_user": Rule(administrators(200)),
    "change_user": Rule(administrators(200), always({"is_active": False})),
    "delete_user": Rule(administrators(202)),
    # An external id is one in the caller's own tenant: whoever is elsewhere makes somebody there.
    "put_external_user": Rule(
        administrators(200, elsewhere=201) | {"root": 201}, always({"roles": ["member"]})
    ),
    "get_external_user": Rule(administrators(200) | {"root": 404}),
    "block_user": Rule(administrators(200), always({"reason": "spam"})),
    "unblock_user": Rule(administrators(200)),
    "put_hold": Rule(administrators(202), always({"reason": "litigation"})),
    "get_hold": Rule(administrators(404)),
    "lift_hold": Rule(administrators(404)),
    "create_api_key": Rule(administrators(201), a_key),
    "list_api_keys": Rule(administrators(200, elsewhere=200)),
    "get_api_key": Rule(administrators(404)),
    "delete_api_key": Rule(administrators(404)),
    "mint_token": Rule(administrators(201), always({"expires_in": 60})),
    "end_tokens": Rule(administrators(204)),
    "list_my_tokens": Rule(inside(200)),
    "end_my_token": Rule(inside(404)),
    "export_user": Rule(administrators(200), shows_conversations=True),
    "list_audit_events": Rule(administrators(200, elsewhere=200)),
    "list_erasures": Rule(administrators(200, elsewhere=200)),
    "get_erasure": Rule(administrators(200)),
    "create_chat_session": Rule(inside(201), always({"title": "mine"})),
    "list_chat_sessions": Rule(inside(200)),
    "get_chat_session": Rule(owner(200)),
    "put_chat_session": Rule(inside(201)),
    "change_chat_session": Rule(owner(200), always({"title": "mine"})),
    "delete_chat_session": Rule(owner(204)),
    "fork_chat_session": Rule(owner(201)),
    "create_message": Rule(owner(201), always(A_MESSAGE)),
    "create_messages": Rule(owner(201), always({"messages": [A_MESSAGE] * 2})),
    "list_messages": Rule(owner(200)),
    "get_message": Rule(owner(200)),
    "edit_message": Rule(owner(200), always({"content": "mine"})),
    "delete_message": Rule(owner(204)),
    "delete_messages": Rule(owner(200)),
    "create_conversation": Rule(inside(200), always({"items": [AN_ITEM]})),
    "list_conversations": Rule(inside(200)),
    "get_conversation": Rule(owner(200)),
    "change_conversation": Rule(owner(200), always({"metadata": {}})),
    "delete_conversation": Rule(owner(200)),
    "create_items": Rule(owner(200), always({"items": [AN_ITEM]})),
    "list_items": Rule(owner(200)),
    "get_item": Rule(owner(200)),
    "delete_item": Rule(owner(200)),
}


def test_every_operation_has_an_expectation_and_every_expectation_an_operation() -> None:
    assert set(EXPECTED) == set(OPERATIONS)


@pytest.mark.parametrize("name", OPERATIONS)
async def test_each_caller_is_answered_as_their_role_allows(callers: Callers, name: str) -> None:
    rule = EXPECTED[name]
    wrong = [fault for kind in CALLERS for fault in await _faults(callers, name, rule, kind)]
    assert wrong == []


async def _faults(callers: Callers, name: str, rule: Rule, kind: str) -> list[str]:
    victim = await callers.victim()
    caller = await callers.caller(kind, victim)
    before = await callers.state(victim.owner.tenant_id)
    response = await _call(caller, OPERATIONS[name], rule, victim)
    faults = [f"{kind}: {fault}" for fault in _told(response, rule, kind, victim)]
    if response.status_code != rule.answers[kind]:
        faults.append(f"{kind}: {response.status_code}, not {rule.answers[kind]}")
    if rule.answers[kind] >= 400 and await callers.state(victim.owner.tenant_id) != before:
        faults.append(f"{kind}: refused, and yet something changed")
    return faults


async def _call(
    caller: httpx.AsyncClient, operation: Operation, rule: Rule, victim: Victim
) -> httpx.Response:
    user_id = victim.doomed_id if operation.id == "get_erasure" else victim.owner.id
    path = operation.path.format(
        user_id=user_id,
        session_id=victim.session_id,
        conversation_id=f"conv_{victim.session_id.hex}",
        item_id=f"msg_{victim.session_id.hex}",
        tenant_id=victim.owner.tenant_id,
        external_id=victim.owner.external_id,
        key_id=uuid4(),
        token_id=uuid4(),
        position=1,
    )
    body = rule.body(victim) if rule.body else None
    query = {"after": "0"} if operation.id == "delete_messages" else None
    return await caller.request(operation.method, path, json=body, params=query)


def _told(response: httpx.Response, rule: Rule, kind: str, victim: Victim) -> list[str]:
    """List what an answer tells of the victim and must not, and the headers it lacks."""
    hidden: tuple[str, ...] = ()
    if response.is_error or kind not in ("boss", "root", "owner"):
        hidden = victim.marks
    elif kind != "owner" and not rule.shows_conversations:
        hidden = victim.secrets
    told = [f"is told {mark}" for mark in hidden if mark in response.text]
    if response.request.url.path.startswith("/v1/"):
        told += [] if response.headers.get("cache-control") == "no-store" else ["may be cached"]
    return told


def _handlers() -> Iterator[tuple[str, HTTPRouteHandler]]:
    for route in unconnected().routes:
        assert isinstance(route, HTTPRoute), f"{route.path}: neither guards nor matrix see it"
        for handler in route.route_handlers:
            if handler.http_methods != {"OPTIONS"}:
                yield route.path, handler


def test_every_route_has_a_guard_or_is_declared_public() -> None:
    bare = [
        f"{handler.handler_name} {path}"
        for path, handler in _handlers()
        if path.startswith("/v1/") and handler.handler_name != "log_in" and not _guarded(handler)
    ]
    assert bare == []


async def test_a_guard_is_given_the_handler_itself() -> None:
    """A copy for each guard, as Litestar makes one, would cost every request."""
    given: list[object] = []

    async def guard(_: object, handler: object) -> None:
        given.append(handler)

    route: Any = get("/", guards=[guard])(guard)
    await route.authorize_connection(None)
    assert given == [route]


def _guarded(handler: HTTPRouteHandler) -> bool:
    guards = cast("Any", handler).resolve_guards()
    is_ours = isinstance(handler, GuardedHandler) and not is_public(handler)
    return is_ours and len(guards) == 1 and any(guards[0].roles)


def test_outside_the_api_only_a_few_routes_are_there() -> None:
    outside = {path for path, _ in _handlers() if not path.startswith("/v1/")}
    assert outside == OPEN_TO_ANYONE
