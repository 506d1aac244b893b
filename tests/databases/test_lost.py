"""A connection that is cut under way: what can be asked again is, and what may be done is not."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from app.databases.causes import is_away
from app.databases.database import Database, Databases
from app.databases.sessions import UserSession
from app.databases.statement import Statement
from tests.support import pgbouncer
from tests.support.proxy import Act, Proxy, proxied
from tests.support.servers import Servers, settings_for
from tests.support.wire import bounded

Accounts = Database[UserSession]
ASK = "SELECT CAST(:value AS text) || CAST(:more AS text)"
ASKS = Statement(text(ASK), reads=True)
DOES = Statement(text(ASK))
ASKED = {"value": "in the statement's message", "more": ""}
MESSAGE = ASKED["value"].encode()
CUTS = [Act.CUT_BEFORE, Act.CUT_REPLY, Act.RESET_REPLY]


@pytest.fixture
async def proxy(servers: Servers) -> AsyncIterator[Proxy]:
    async with proxied(pgbouncer.port(servers.user)) as proxy:
        yield proxy


@pytest.fixture
async def accounts(servers: Servers, database: str, proxy: Proxy) -> AsyncIterator[Accounts]:
    url = pgbouncer.url_at(proxy.port, database)
    databases = Databases.create(settings_for(servers, database, database_url_user=url))
    yield databases.user
    await databases.dispose()


@pytest.mark.parametrize("act", CUTS)
@bounded
async def test_a_statement_that_only_reads_is_asked_again(
    accounts: Accounts, proxy: Proxy, act: Act
) -> None:
    await accounts.fetch(ASKS, ASKED)
    fault = proxy.breaks(act, MESSAGE)
    assert (await accounts.fetch(ASKS, ASKED))[0][0] == ASKED["value"]
    assert fault.happened.is_set()


@pytest.mark.parametrize("act", CUTS)
@bounded
async def test_one_that_may_be_done_is_not_sent_twice(
    accounts: Accounts, proxy: Proxy, act: Act
) -> None:
    await accounts.fetch(DOES, ASKED)
    proxy.breaks(act, MESSAGE)
    with pytest.raises(Exception) as caught:  # noqa: PT011  the driver has several for it
        await accounts.fetch(DOES, ASKED)
    assert is_away(caught.value)


@pytest.mark.parametrize("act", CUTS)
@bounded
async def test_a_session_whose_begin_is_lost_begins_elsewhere(
    accounts: Accounts, proxy: Proxy, act: Act
) -> None:
    await accounts.fetch(ASKS, ASKED)
    fault = proxy.breaks(act, b"BEGIN")
    async with accounts.session() as session:
        assert await session.scalar(text(ASK), ASKED) == ASKED["value"]
    assert fault.happened.is_set()
