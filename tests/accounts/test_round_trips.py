"""The wire tells how often a route of accounts waits for the user database.

BEGIN goes together with the tenant's setting; the token's look-up comes first.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import pytest

from tests.support.factories import PASSWORD, Someone
from tests.support.pgbouncer import PREPARING
from tests.support.round_trips import Wired, asked_once, wired_service
from tests.support.servers import Servers

pytestmark = pytest.mark.skipif(bool(PREPARING), reason="PgBouncer adds its own")
LOOK_UP, BEGIN, COMMIT = 1, 1, 1
TENANT, USER, ACTOR = 1, 1, 1  # what is locked
EVENT = 1  # the audit's
WHERE, ENTER = 1, 1  # a platform administrator goes where the user is
numbers = count(1)


@pytest.fixture
async def wired(servers: Servers, database: str) -> AsyncIterator[Wired]:
    async with wired_service(servers, database) as service:
        yield service


async def counted(
    wired: Wired, who: Someone, method: str, path: str, body: dict[str, Any] | None = None
) -> int:
    """Ask twice, each time about another user: a statement is prepared when it is first met."""
    round_trips = 0
    for _ in range(2):
        number = next(numbers)
        user = await wired.world.user(f"\\acme\\somebody-{number}")
        values = {"number": number, "user": user.id}
        sent: dict[str, Any] = {
            name: value.format_map(values) if isinstance(value, str) else value
            for name, value in (body or {}).items()
        }
        trips = await asked_once(wired, who, method, path.format_map(values), sent or None)
        round_trips = trips[0]
    return round_trips


async def test_a_change_costs_its_locks_and_its_statements(wired: Wired) -> None:
    boss, root = await wired.world.tenant_admin(), await wired.world.admin()
    one = "/v1/users/{user}"
    new = {"username": "\\acme\\n{number}", "email": "n{number}@example.org", "password": PASSWORD}
    for who, going in ((boss, 0), (root, WHERE + ENTER)):
        create = LOOK_UP + BEGIN + going + TENANT + ACTOR + 1 + EVENT + COMMIT
        change = LOOK_UP + BEGIN + going + TENANT + USER + ACTOR + 1 + EVENT + COMMIT
        ask = (wired, who)
        assert await counted(*ask, "POST", "/v1/users", new) == create
        assert await counted(*ask, "PATCH", one, {"email": "c{number}@example.org"}) == change
        assert await counted(*ask, "PATCH", one, {"roles": ["tenant_admin"]}) == change
        assert await counted(*ask, "POST", f"{one}/block") == change + 2  # its reason, the tokens
        assert await counted(*ask, "POST", f"{one}/unblock") == change
        assert await counted(*ask, "DELETE", one) == change + 2  # a hold, the ledger's entry


async def test_reading_takes_no_lock(wired: Wired) -> None:
    boss, root = await wired.world.tenant_admin(), await wired.world.admin()
    for who, going in ((boss, 0), (root, WHERE + ENTER)):
        read = LOOK_UP + BEGIN + 1 + COMMIT
        assert await counted(wired, who, "GET", "/v1/me") == read
        assert await counted(wired, who, "GET", "/v1/users") == read
        assert await counted(wired, who, "GET", "/v1/users/{user}") == read + going
