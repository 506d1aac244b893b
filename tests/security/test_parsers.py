"""Whatever is sent where a text of ours is parsed: never a 500, and every refusal is a problem."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote_from_bytes
from uuid import uuid4

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.accounts.tokens import new_token
from app.http.idempotency import HEADER
from app.http.paging import Place, cursor_of
from app.http.problems import PROBLEM_JSON
from tests.support.callers import Callers, Victim, client_of
from tests.support.factories import PASSWORD

# Fixtures are shared by all examples: each only reads, or makes rows of its own.
CHEAP = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
COSTLY = settings(CHEAP, max_examples=15)  # each hashes a password
LISTS = ("/v1/chat-sessions", "/v1/chat-sessions/{}/messages")
POSITIONS = st.integers(-(2**63), 2**63 - 1)
TIMES = st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(4253, 1, 1))  # noqa: DTZ001  the zone comes next
ZONED = TIMES.map(lambda time: time.replace(tzinfo=UTC))
PLACES = st.builds(Place, st.none() | ZONED, st.uuids())
KEYS = st.one_of(PLACES, POSITIONS)
LISTS_OF = st.sampled_from([(), ("chat-sessions",)])


def cursor(key: Place | int, of: tuple[str, ...]) -> bytes:
    return cursor_of(key, *of).encode()


CURSORS = st.builds(cursor, KEYS, LISTS_OF)
TOKENS = st.builds(new_token).map(str.encode)


@st.composite
def damaged(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> bytes:
    """A good one of which a piece was replaced, by nothing perhaps."""
    good = draw(whole)
    start = draw(st.integers(0, len(good)))
    end = draw(st.integers(start, len(good)))
    return good[:start] + draw(st.binary(max_size=8)) + good[end:]


@pytest.fixture(scope="module")
async def victim(callers: Callers) -> Victim:
    return await callers.victim()


def _is_fine(answer: httpx.Response, *expected: int) -> None:
    assert answer.status_code in expected, answer.text
    if answer.is_error:
        assert answer.headers["content-type"] == PROBLEM_JSON
        assert answer.json()["status"] == answer.status_code


@CHEAP
@given(cursor=st.one_of(st.binary(max_size=40), CURSORS, damaged(CURSORS)))
async def test_any_cursor_is_answered_without_a_500(
    callers: Callers, victim: Victim, cursor: bytes
) -> None:
    async with callers.with_token(victim.owner.token) as http:
        for path in LISTS:
            where = path.format(victim.session_id)
            answer = await http.get(f"{where}?after={quote_from_bytes(cursor)}")
            _is_fine(answer, 200, 422)


@CHEAP
@given(key=st.one_of(st.binary(max_size=300), st.text("ab ~!", max_size=260).map(str.encode)))
async def test_any_idempotency_key_is_answered_without_a_500(
    callers: Callers, victim: Victim, key: bytes
) -> None:
    headers: list[tuple[bytes, bytes]] = [(HEADER.encode(), key)]
    async with callers.with_token(victim.owner.token) as http:
        answer = await http.post("/v1/chat-sessions", json={}, headers=headers)
    is_good = key.strip(b" ") and len(key) <= 255 and all(32 <= byte < 127 for byte in key)
    _is_fine(answer, 201 if is_good else 422)


@CHEAP
@given(
    header=st.one_of(
        st.binary(max_size=200),
        st.binary(max_size=200).map(lambda rest: b"Bearer " + rest),
        damaged(TOKENS.map(lambda token: b"Bearer " + token)),
    )
)
async def test_any_token_is_answered_without_a_500(callers: Callers, header: bytes) -> None:
    """None of them is anybody's."""
    async with client_of(callers.app, None) as http:
        headers: list[tuple[bytes, bytes]] = [(b"Authorization", header)]
        answer = await http.get("/v1/me", headers=headers)
    _is_fine(answer, 401)
    assert answer.headers["www-authenticate"] == "Bearer"


USERNAMES = st.one_of(st.text(max_size=80), st.text("\\.-_aé\x00\n ", max_size=12))


@CHEAP
@given(username=USERNAMES.filter(lambda name: not name.isascii() or "\\" in name or not name))
async def test_a_username_that_is_refused_on_creation(callers: Callers, username: str) -> None:
    """Or whose tenant is not there."""
    _is_fine(await _create(callers, username), 404, 409, 422)


@COSTLY
@given(username=st.one_of(USERNAMES, st.from_regex(r"\A[A-Za-z0-9._-]{1,64}\Z")))
async def test_any_username_on_creation_is_answered_without_a_500(
    callers: Callers, username: str
) -> None:
    _is_fine(await _create(callers, username), 201, 404, 409, 422)


async def _create(callers: Callers, username: str) -> httpx.Response:
    boss = await callers.row("acme", "tenant_admin")
    body: dict[str, Any] = {"username": username, "email": f"{uuid4()}@example.org"}
    async with callers.with_token(boss.token) as http:
        return await http.post("/v1/users", json=body | {"password": PASSWORD})


@COSTLY
@given(username=USERNAMES)
async def test_any_username_at_login_is_answered_without_a_500(
    callers: Callers, username: str
) -> None:
    async with client_of(callers.app, None) as http:
        body = {"username": username, "password": PASSWORD}
        _is_fine(await http.post("/v1/auth/login", json=body), 401, 422)
