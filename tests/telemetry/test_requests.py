"""Each request is a line of the log: what it says, and what it never does."""

from __future__ import annotations

import asyncio
import logging
import re
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
from sqlalchemy import text

from app import telemetry
from app.accounts.tokens import CredentialLookup
from app.databases.database import Databases
from app.http.errors import Unauthenticated
from app.http.security import Credential
from app.telemetry.context import RequestContext, current_request
from app.telemetry.requests import observe_requests, requests_in_flight
from tests.support.factories import World, a_message, a_session
from tests.support.log_lines import as_it_is, events
from tests.support.pgbouncer import PREPARING, ROUND_TRIPS
from tests.support.servers import Servers, settings_for
from tests.support.traceparent import PARENT, TRACE, TRACEPARENT

FIELDS = [
    *("timestamp", "level", "event", "request_id", "trace_id", "method", "route", "status"),
    *("duration_ms", "rows", "round_trips", "round_trips_user", "round_trips_general"),
    *("user_id", "actor", "tenant_id"),
]


async def test_a_request_is_one_line_of_the_log(
    capfd: pytest.CaptureFixture[str], world: World
) -> None:
    alice = await world.member()
    session = await a_session(alice)
    await a_message(alice, session["id"])
    capfd.readouterr()
    url = f"/v1/chat-sessions/{session['id']}/messages"
    answer = await alice.http.get(url, headers={"traceparent": TRACEPARENT})
    [line] = events(capfd.readouterr().err, "request")
    assert list(line) == FIELDS
    assert line["request_id"] == answer.headers["x-request-id"]
    assert (line["method"], line["route"]) == ("GET", "/v1/chat-sessions/{session_id}/messages")
    assert (line["status"], line["trace_id"]) == (200, TRACE)
    assert (line["user_id"], line["tenant_id"]) == (str(alice.id), str(alice.tenant_id))
    assert line["duration_ms"] > 0


async def test_round_trips_are_those_of_each_database(
    capfd: pytest.CaptureFixture[str], world: World
) -> None:
    """Counted once warm: a connection learns a statement when it first meets it."""
    alice = await world.member()
    for _ in range(2):
        for path in ("/health/live", "/v1/me", "/v1/chat-sessions"):
            await alice.http.get(path)
    lines = {line["route"]: line for line in events(capfd.readouterr().err, "request")}
    trips = {
        route: (line["round_trips_user"] > 0, line["round_trips_general"] > 0)
        for route, line in lines.items()
    }
    assert trips["/health/live"] == (False, False)
    assert trips["/v1/me"] == (True, False)
    assert trips["/v1/chat-sessions"] == (True, True)
    for line in lines.values():
        assert line["round_trips"] == line["round_trips_user"] + line["round_trips_general"]


async def test_every_exchange_with_a_database_is_counted(world: World) -> None:
    """SQLAlchemy sends BEGIN, statement and COMMIT; the driver is asked directly, too."""
    async with _counted() as request:
        await _ask(world)
    async with _counted() as request:  # by now the connection knows the statement
        await _ask(world)
    assert (request.round_trips_user, request.rows) == (3 + PREPARING, 5)
    async with _counted() as request, world.databases.general.one_statement() as connection:
        raw: Any = (await connection.get_raw_connection()).driver_connection
        driver = await raw.taken()
        for ask in (driver.execute, driver.fetch, driver.fetchrow, driver.fetchval):
            await ask("SELECT 1")
        with pytest.raises(asyncpg.UndefinedColumnError):
            await driver.fetch("SELECT nothing")
    asked = ROUND_TRIPS - PREPARING  # which the driver does by itself
    assert (request.round_trips_general, request.rows) == (1 + 4 * asked, 3)


async def test_statements_go_to_the_log_on_request(
    servers: Servers, database: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Those of a session and those sent directly are logged without their values."""
    settings = settings_for(servers, database, db_echo=True)
    databases = Databases.create(settings)
    async with databases.user.session() as session:
        await session.execute(text("SELECT :secret"), {"secret": "hidden"})
    with pytest.raises(Unauthenticated):
        await CredentialLookup(databases.user, settings).principal(Credential("hidden"))
    await databases.dispose()
    written = capfd.readouterr().err
    lines = [line["query"] for line in events(written, "statement")]
    assert "COMMIT;" in lines
    assert any("caller_of_token(" in line for line in lines)
    assert "hidden" not in written


async def _ask(world: World) -> None:
    async with world.databases.user.session() as session:
        connection = await session.connection()
        await connection.exec_driver_sql("SELECT generate_series(1, 5)")


@asynccontextmanager
async def _counted() -> AsyncGenerator[RequestContext]:
    request = RequestContext("x")
    outer = current_request.set(request)
    try:
        yield request
    finally:
        current_request.reset(outer)


@pytest.mark.parametrize(
    "header",
    [
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-01-more",
        f"00-{TRACE}-{PARENT}-01more",
        f"00-{TRACE[1:]}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}",
        "x" * 10_000,
        "",
    ],
)
async def test_a_bad_traceparent_is_ignored(
    header: str, capfd: pytest.CaptureFixture[str], client: httpx.AsyncClient
) -> None:
    capfd.readouterr()
    answer = await client.get("/health/live", headers={"traceparent": header})
    assert answer.status_code == 200
    assert "traceresponse" not in answer.headers
    [line] = events(capfd.readouterr().err, "request")
    assert "trace_id" not in line


@pytest.mark.parametrize("header", [TRACEPARENT, f"01-{TRACE}-{PARENT}-00-and-more"])
async def test_the_callers_trace_is_continued(
    header: str, capfd: pytest.CaptureFixture[str], client: httpx.AsyncClient
) -> None:
    """Each event on the way has it, and the answer, whose span is the request's own."""
    login = {"username": "\\acme\\nobody", "password": "not the password at all"}
    answer = await client.post("/v1/auth/login", json=login, headers={"traceparent": header})
    written = capfd.readouterr().err
    lines = events(written, "login_refused") + events(written, "request")
    assert [line["trace_id"] for line in lines] == [TRACE] * 2
    version, trace, span, flags = answer.headers["traceresponse"].split("-")
    assert (version, trace, flags) == ("00", TRACE, header.split("-")[3])
    assert len(span) == 16
    assert span != PARENT


async def test_two_traceparents_count_as_none(client: httpx.AsyncClient) -> None:
    twice = [("traceparent", TRACEPARENT), ("traceparent", TRACEPARENT)]
    assert "traceresponse" not in (await client.get("/health/live", headers=twice)).headers


async def test_no_log_line_holds_a_path(capfd: pytest.CaptureFixture[str], world: World) -> None:
    alice = await world.member()
    paths = (f"/v1/chat-sessions/{uuid4()}", f"/v1/elsewhere/{uuid4()}", "/v1/users/not-an-id")
    answers = [await alice.http.get(path) for path in paths]
    written = capfd.readouterr().err
    routes = [line["route"] for line in events(written, "request")][-3:]
    assert routes == ["/v1/chat-sessions/{session_id}", "", ""]
    assert [answer.status_code for answer in answers] == [404] * 3
    assert not [path for path in paths if path.rpartition("/")[2] in written]


async def _cancelled() -> None:
    raise asyncio.CancelledError


async def _failed() -> None:
    raise RuntimeError


@pytest.mark.parametrize(("end", "status"), [(_cancelled, 499), (_failed, 500)])
async def test_a_request_without_an_answer_is_logged(
    end: Callable[[], Awaitable[None]], status: int, capfd: pytest.CaptureFixture[str]
) -> None:
    async def app(*_: Any) -> None:
        assert requests_in_flight() == under_way + 1
        await end()

    under_way = requests_in_flight()
    scope: Any = {"type": "http", "method": "GET", "headers": []}
    nothing: Any = None
    with pytest.raises((asyncio.CancelledError, RuntimeError)):
        await observe_requests(app, as_it_is)(scope, nothing, nothing)
    [line] = events(capfd.readouterr().err, "request")
    assert (line["status"], requests_in_flight()) == (status, under_way)
    assert current_request.get() is None


async def test_a_log_that_cannot_be_written_is_no_ones_error(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = Path("/dev/full").open("w", buffering=1)  # noqa: ASYNC230, SIM115  see below
    monkeypatch.setattr(sys, "stderr", full)
    with pytest.raises(OSError, match="No space"):
        full.write("x\n")
    telemetry.log.info("listening", address="here")
    assert (await client.get("/health/live")).status_code == 200
    with suppress(OSError):  # of what could not be written
        full.close()


async def test_log_lines_of_libraries_are_json(
    capfd: pytest.CaptureFixture[str], client: httpx.AsyncClient
) -> None:
    """asyncio adds things about futures and exceptions that may hold anything."""
    assert client
    error = RuntimeError("a secret")
    message = "Task exception was never retrieved\nfuture: <RuntimeError('secret')>"
    logging.getLogger("asyncio").error(message, exc_info=error)
    written = capfd.readouterr().err
    [line] = events(written, "Task exception was never retrieved")
    assert (line["logger"], line["level"], line["error"]) == ("asyncio", "error", "RuntimeError")
    assert "secret" not in written


def test_the_table_of_log_events_is_complete() -> None:
    app = Path(telemetry.__file__).parents[1]
    sources = "".join(path.read_text() for path in app.rglob("*.py"))
    logged = re.findall(r"log\.(?:info|warning|error)\(\s*\"(\w+)\"", sources)
    assert set(re.findall(r"(?m)^\| `(\w+)` *\|", telemetry.__doc__ or "")) == set(logged)
