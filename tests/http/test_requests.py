"""A request is refused in words that say what to send instead, and where."""

from __future__ import annotations

import codecs
import gzip
import json
from typing import Any

import httpx
import pytest

from app.http.problems import PROBLEM_JSON
from tests.support.factories import Someone, World, a_session

JSON = {"Content-Type": "application/json"}
SESSIONS = "/v1/chat-sessions"


@pytest.fixture
async def alice(world: World) -> Someone:
    return await world.member()


def errors(answer: httpx.Response, status: int = 422) -> list[tuple[str, str]]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == PROBLEM_JSON
    return [(one["path"], one["message"]) for one in answer.json().get("errors", [])]


@pytest.mark.parametrize("method", ["HEAD", "head"])
async def test_head_is_answered_wherever_get_is(
    alice: Someone, client: httpx.AsyncClient, method: str
) -> None:
    """With the same status and headers, and without a body."""
    session = await a_session(alice)
    paths = ["/health", "/health/live", "/health/ready", "/schema", "/schema/openapi.json"]
    paths += ["/metrics", "/v1/me", SESSIONS, f"{SESSIONS}/{session['id']}", "/v1/users"]
    paths += ["/v1/me/export", "/schema/static/explorer.js", "/nowhere", "/v1/auth/login"]
    for path in paths:
        get = await alice.http.get(path)
        head = await alice.http.request(method.upper(), path)
        assert (head.status_code, head.content) == (get.status_code, b""), path
        differ = {"x-request-id", "date", "content-length"}
        assert set(head.headers) - differ == set(get.headers) - differ
        if path not in ("/health", "/health/ready", "/metrics"):
            assert head.headers.get("content-length") == get.headers.get("content-length")
    assert (await client.head("/v1/me")).status_code == 401


async def test_allow_names_head(alice: Someone) -> None:
    for method, status in (("OPTIONS", 204), ("PUT", 405)):
        answer = await alice.http.request(method, "/v1/me")
        assert (answer.status_code, answer.headers["allow"]) == (status, "GET, HEAD, OPTIONS")
    refused = await alice.http.get("/v1/auth/login")
    assert refused.headers["allow"] == "OPTIONS, POST"


async def test_a_body_that_is_encoded_is_not_taken(alice: Someone) -> None:
    body = json.dumps({"title": "x"}).encode()
    for coding, content in (("gzip", gzip.compress(body)), ("br", body), ("identity, gzip", body)):
        headers = JSON | {"Content-Encoding": coding}
        assert errors(await alice.http.post(SESSIONS, content=content, headers=headers), 415) == []
    headers = JSON | {"Content-Encoding": "identity"}
    assert (await alice.http.post(SESSIONS, content=body, headers=headers)).status_code == 201


async def test_a_byte_order_mark_is_passed_over(alice: Someone) -> None:
    body = codecs.BOM_UTF8 + json.dumps({"title": "x"}).encode()
    for more in ({}, {"Idempotency-Key": "k"}):
        answer = await alice.http.post(SESSIONS, content=body, headers=JSON | more)
        assert (answer.status_code, answer.json()["title"]) == (201, "x")


@pytest.mark.parametrize("limit", ["1e2", "1.0", "+5", " 5", "5 ", "05", "0x5", "", "x", "5_0"])
async def test_a_whole_number_is_written_in_digits(alice: Someone, limit: str) -> None:
    [(path, message)] = errors(await alice.http.get(SESSIONS, params={"limit": limit}))
    assert (path, message) == ("limit", "Send a whole number, in digits.")


async def test_parameters_that_are_not_there_are_refused(alice: Someone) -> None:
    answer = await alice.http.get(f"{SESSIONS}?user_id=x&limit=5&User_Id=")
    unknown = "There is no such parameter here; leave it out."
    assert errors(answer) == [("user_id", unknown), ("User_Id", unknown)]
    answer = await alice.http.get(f"{SESSIONS}?limit=5&limit=6")
    assert errors(answer) == [("limit", "This parameter was sent more than once; send it once.")]
    assert errors(await alice.http.get("/v1/me?verbose")) == [("verbose", unknown)]
    assert (await alice.http.get(f"{SESSIONS}?limit=5")).status_code == 200


async def test_of_an_order_the_choices_are_named(alice: Someone) -> None:
    session = await a_session(alice)
    answer = await alice.http.get(f"{SESSIONS}/{session['id']}/messages", params={"order": "up"})
    assert errors(answer) == [("order", "Send one of these: asc, desc.")]


async def test_a_limit_says_its_bounds(alice: Someone) -> None:
    for limit, words in ((0, "Send at least 1."), (101, "Send at most 100.")):
        assert errors(await alice.http.get(f"{SESSIONS}?limit={limit}")) == [("limit", words)]


MISSING, UNKNOWN = "This field is missing; send it.", "There is no such field here; leave it out."
BODIES: list[tuple[Any, str, str]] = [
    ([{"role": "user"}], "messages[0].content", MISSING),
    ([{"role": "user", "content": "x", "a": 1}], "messages[0].a", UNKNOWN),
    ([{"role": "user", "content": ""}], "messages[0].content", "Send at least 1 character."),
    (
        [{"role": "user", "content": [{"type": "x"}] * 257}],
        "messages[0].content",
        "Send at most 256 items.",
    ),
    (
        [{"role": "user", "content": 7}],
        "messages[0].content",
        "Send a string or a list, not a whole number.",
    ),
    (
        [{"role": "user", "content": "x", "metadata": {"k": "v" * 513}}],
        "messages[0].metadata[...]",
        "Send at most 512 characters.",
    ),
    (
        [{"role": "user", "content": "x"}, {"role": "robot", "content": "x"}],
        "messages[1].role",
        "Send one of these: assistant, developer, system, tool, user.",
    ),
    ([], "messages", "Send at least 1 item."),
    (None, "messages", "Send a list, not null."),
]


@pytest.mark.parametrize(("messages", "path", "words"), BODIES)
async def test_a_body_s_fault_is_said_in_words(
    alice: Someone, messages: Any, path: str, words: str
) -> None:
    url = f"{SESSIONS}/{(await a_session(alice))['id']}/messages/batch"
    assert errors(await alice.http.post(url, json={"messages": messages})) == [(path, words)]


async def test_no_words_of_programmers_are_left(world: World) -> None:
    """Neither types nor expressions of ours: what is sent here breaks each rule there is."""
    boss = await world.tenant_admin()
    bodies: list[dict[str, Any]] = [
        {"username": "a b"},
        {"email": "nobody"},
        {"email": None},
        {"password": "short"},
        {"password": "x" * 129},
        {"roles": []},
        {"roles": ["king"]},
        {"roles": "member"},
        {"tenant_id": "x"},
        {"tenant_id": 7},
    ]
    right = {"username": "a", "email": "a@example.org", "password": "a quiet corner of the library"}
    for body in bodies:
        [(path, message)] = errors(await boss.http.post("/v1/users", json=right | body))
        assert path.partition("[")[0] == next(iter(body))
        assert not set(message) & set("`^\\\\$"), message
        assert message.startswith("Send")


async def test_every_error_of_the_explorer_is_a_problem(client: httpx.AsyncClient) -> None:
    for path in ("/schema/nothing", "/schema/static/nothing.js", "/schema/static/../x", "/x"):
        assert errors(await client.get(path), 404) == []
    assert errors(await client.post("/schema"), 405) == []
