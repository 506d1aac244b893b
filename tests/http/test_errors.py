"""Every error body is problem+json, says what to change, and names nothing of ours."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import httpx
import msgspec
import pytest
from litestar import Litestar
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from app.config.settings import Settings
from app.http.problems import problem_response, to_problem
from tests.support.factories import World, a_session
from tests.support.logins import world_on

BIG = 11 * 1024 * 1024
LOGIN = "/v1/auth/login"


def _is_problem(response: httpx.Response, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert {"type", "title", "status", "detail"} <= set(problem)
    assert problem["status"] == status
    return problem


async def test_what_the_framework_refuses_is_a_problem_too(client: httpx.AsyncClient) -> None:
    json = {"Content-Type": "application/json"}
    _is_problem(await client.get("/nowhere"), 404)
    refused = await client.put(LOGIN)
    _is_problem(refused, 405)
    assert "POST" in refused.headers["allow"]
    _is_problem(await client.post(LOGIN, content=b"{", headers=json), 400)
    _is_problem(await client.post(LOGIN, content=b"\xff", headers=json), 400)
    _is_problem(await client.post(LOGIN, headers=json), 400)
    _is_problem(await client.post(LOGIN, content=b"a=b"), 415)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    _is_problem(await client.post(LOGIN, content=b"a=b", headers=form), 415)
    _is_problem(await client.post(LOGIN, content=b"x" * BIG, headers=json), 413)


@pytest.mark.parametrize(
    "bad", [b"\xff", b"\xc3", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"]
)
async def test_a_text_that_is_not_utf8_is_refused_wherever_it_stands(
    world: World, bad: bytes
) -> None:
    """Cut off, overlong, a surrogate, past the last character: in a string or in a name."""
    alice = await world.member()
    json = {"Content-Type": "application/json"}
    sessions = "/v1/chat-sessions"
    for body in (b'{"title": "a%sb"}' % bad, b'{"ti%stle": "a"}' % bad):
        _is_problem(await alice.http.post(sessions, content=body, headers=json), 400)
    login = b'{"username": "\\\\a\\\\b%s", "password": "x"}' % bad
    _is_problem(await world.nobody.post(LOGIN, content=login, headers=json), 400)
    assert (await alice.http.get(sessions)).json()["items"] == []


async def test_a_body_too_large_is_refused_without_a_length_too(client: httpx.AsyncClient) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(11):
            yield b"x" * 1024 * 1024

    response = await client.post(
        LOGIN, content=chunks(), headers={"Content-Type": "application/json"}
    )
    _is_problem(response, 413)


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"role": "user"}, "content"),
        ({"role": "user", "content": ""}, "content"),
        ({"role": "user", "content": 7}, "content"),
        ({"role": "user", "content": []}, "content"),
        ({"role": "oracle", "content": "x"}, "role"),
        ({"role": "user", "content": "x", "id": "1"}, "id"),
        ([], ""),
        (None, ""),
    ],
)
async def test_an_invalid_body_says_where_and_what(world: World, body: object, path: str) -> None:
    alice = await world.member()
    session = await a_session(alice)
    url = f"/v1/chat-sessions/{session['id']}/messages"
    json = {"Content-Type": "application/json"}
    response = await alice.http.post(url, content=msgspec.json.encode(body), headers=json)
    error = _is_problem(response, 422)["errors"][0]
    assert error["path"] == path
    assert error["message"]


async def test_a_number_is_no_string_and_a_string_no_boolean(world: World) -> None:
    """Litestar alone would convert them."""
    boss, alice = await world.tenant_admin(), await world.member()
    for value in ("true", 1, "1"):
        response = await boss.http.patch(f"/v1/users/{alice.id}", json={"is_active": value})
        assert _is_problem(response, 422)["errors"][0]["path"] == "is_active"


async def test_no_or_a_bad_token_is_401(client: httpx.AsyncClient) -> None:
    for header in ("", "Bearer", "Bearer ", "Basic abc", "Bearer nope", "Bearer " + "x" * 5000):
        response = await client.get("/v1/me", headers={"Authorization": header})
        _is_problem(response, 401)
        assert response.headers["www-authenticate"] == "Bearer"


async def test_another_role_is_403(world: World) -> None:
    alice = await world.member()
    _is_problem(await alice.http.get("/v1/users"), 403)
    boss = await world.tenant_admin()
    _is_problem(await boss.http.get("/v1/tenants"), 403)


@pytest.mark.parametrize(
    ("status", "errors"),
    [
        (409, [asyncpg.UniqueViolationError, asyncpg.ForeignKeyViolationError]),
        (422, [asyncpg.CheckViolationError, asyncpg.StringDataRightTruncationError]),
        (503, [asyncpg.SerializationError, asyncpg.DeadlockDetectedError]),
        (503, [asyncpg.TooManyConnectionsError, asyncpg.DiskFullError, asyncpg.PostgresIOError]),
        (503, [asyncpg.LockNotAvailableError, asyncpg.QueryCanceledError]),
        (503, [asyncpg.AdminShutdownError, asyncpg.ConnectionDoesNotExistError]),
        (503, [asyncpg.InterfaceError, asyncpg.InternalClientError, PoolTimeoutError]),
        (503, [ConnectionRefusedError, ConnectionResetError, TimeoutError]),
        (500, [asyncpg.UndefinedTableError, asyncpg.InsufficientPrivilegeError, ValueError]),
    ],
)
def test_a_database_error_is_answered_by_its_kind(
    status: int, errors: list[type[Exception]]
) -> None:
    """The driver raises it like this on the hot routes, without SQLAlchemy around it."""
    assert [to_problem(error("secret")).status for error in errors] == [status] * len(errors)


def test_what_the_dialect_raises_by_itself_is_a_lost_connection() -> None:
    assert to_problem(DBAPIError("SELECT", {}, Exception("secret"))).status == 503


async def test_a_fault_of_ours_is_500_and_says_nothing(
    app: Litestar, capsys: pytest.CaptureFixture[str]
) -> None:
    """The handler is given an exception whose text must not get out."""
    secret = "postgresql://user:secret@db.internal/x SELECT * FROM users"
    problem = to_problem(RuntimeError(secret))
    assert problem.status == 500
    assert secret not in str(problem)
    response = problem_response(None, RuntimeError(secret))  # type: ignore[arg-type]  # unused
    assert response.status_code == 500
    assert "secret" not in capsys.readouterr().err


@pytest.mark.parametrize(("size", "status"), [(1000, 401), (1100, 413)])
async def test_a_body_may_be_as_large_as_the_setting_says(
    settings: Settings, size: int, status: int
) -> None:
    """With a length, and without one."""
    body = b'{"username": "\\\\a\\\\b", "password": "x"}'.ljust(size)
    json = {"Content-Type": "application/json"}

    async def chunks() -> AsyncIterator[bytes]:
        yield body

    async with world_on(settings.model_copy(update={"request_max_body_bytes": 1024})) as world:
        for content in (body, chunks()):
            answer = await world.nobody.post(LOGIN, content=content, headers=json)
            _is_problem(answer, status)
