"""A fresh `litestar dev` has somebody to log in as, with a conversation to read."""

from __future__ import annotations

import json
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

from app.accounts.operators import Operators
from app.http.security import Role

TENANT = "demo"
USERNAME = f"\\{TENANT}\\alice"
PASSWORD = "a quiet corner of the library"  # noqa: S105  # for everybody: it is the document's example
SECONDS = 60  # the first request waits in the socket until the service takes it
# Without the environment's proxy, which does not reach this machine's loopback.
OPENER = build_opener(ProxyHandler({}))
SAID = [
    ("user", "Where is it warm in winter?"),
    ("assistant", "The Canary Islands have some twenty degrees in January."),
    ("user", "And where is nobody else?"),
    ("assistant", "On El Hierro, the smallest of them that has an airport."),
]


async def ensure_user(operators: Operators) -> bool:
    """Create the user; False if they are there already."""
    await operators.ensure_tenant(TENANT)
    if any(user.username == USERNAME for user in await operators.users(TENANT)):
        return False
    await operators.create_user(USERNAME, "alice@demo.example", PASSWORD, [Role.MEMBER])
    return True


def wait(address: str) -> None:
    """Return once the service answers. Raises OSError if it ends before."""
    with OPENER.open(f"{address}/health/live", timeout=SECONDS):
        pass


def write_conversation(address: str) -> None:
    """Write it as a client of the service would."""
    token = _post(f"{address}/v1/auth/login", {"username": USERNAME, "password": PASSWORD})
    bearer = f"Bearer {token['access_token']}"
    sessions = f"{address}/v1/chat-sessions"
    session = _post(sessions, {"title": "Winter sun"}, bearer)
    messages = [{"role": role, "content": content} for role, content in SAID]
    _post(f"{sessions}/{session['id']}/messages/batch", {"messages": messages}, bearer)


def _post(url: str, body: object, bearer: str = "") -> dict[str, Any]:
    headers = {"Content-Type": "application/json", "Authorization": bearer}
    request = Request(url, json.dumps(body).encode(), headers)  # noqa: S310  # the service's own address
    with OPENER.open(request, timeout=SECONDS) as answer:
        return json.load(answer)
