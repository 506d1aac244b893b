"""Nothing secret in logs, nor in what a debugger or an error would print of our objects."""

from __future__ import annotations

import json
import sys
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest

from app.accounts.tokens import new_token, token_digest
from app.config.settings import Settings
from app.http.security import Principal, Role
from tests.support.callers import HASH
from tests.support.factories import PASSWORD, World, a_message, a_session
from tests.support.leaks import CANARIES, check, leaks
from tests.support.servers import Servers, settings_for

TEXT = "a distinctive message text"


def test_each_canary_is_seen() -> None:
    """Every test of the suite is thereby a test of its logs: tests/conftest.py looks for them."""
    lines = [PASSWORD, HASH, new_token(), "to person-1@example.org", "ours-1234", TEXT]
    assert [leaks(json.dumps({"event": line})) for line in lines] == [[what] for what in CANARIES]
    assert leaks("login_refused bic_… \\acme\\alice postgresql://bicameral_app@/test") == []


def test_a_secret_that_a_test_reads_by_itself_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    """Reading takes the text out of what pytest reports."""
    sys.stderr.write(new_token())
    capsys.readouterr()
    report = pytest.TestReport("this test", ("", 0, ""), {}, "passed", None, "teardown")
    check(report)
    assert (report.outcome, report.longrepr) == ("failed", "this test: the logs hold a token")


async def test_failures_are_logged_without_what_was_sent(
    capfd: pytest.CaptureFixture[str], world: World
) -> None:
    """A walk through refusals of each kind. That they are logged at all, first."""
    alice, boss = await world.member(), await world.tenant_admin()
    session = await a_session(alice, TEXT)
    await a_message(alice, session["id"], TEXT)
    messages = f"/v1/chat-sessions/{session['id']}/messages"
    answers = [
        await world.nobody.post("/v1/auth/login", json={"username": TEXT, "password": PASSWORD}),
        await world.nobody.get("/v1/me", headers={"Authorization": f"Bearer {new_token()}"}),
        await alice.http.get("/v1/users"),
        await alice.http.get(f"/v1/chat-sessions/{uuid4()}"),
        await alice.http.post(messages, json={"role": TEXT, "content": TEXT}),
        await alice.http.post(messages, content=TEXT.encode()),
        await boss.http.post("/v1/users", json=_again(boss.username)),
        await boss.http.post("/v1/users", json={**_again("x"), "email": TEXT}),
    ]
    assert [a.status_code for a in answers] == [401, 401, 403, 404, 422, 415, 409, 422]
    written = capfd.readouterr().err
    assert leaks(written) == []
    refusals = [line for line in _events(written, "request") if line["status"] >= 400]
    assert [line["status"] for line in refusals] == [a.status_code for a in answers]
    ids = [answer.headers["x-request-id"] for answer in answers]
    assert [line["request_id"] for line in refusals] == ids
    who = (refusals[2]["user_id"], refusals[2]["tenant_id"], refusals[2]["route"])
    assert who == (str(alice.id), str(alice.tenant_id), "/v1/users")
    assert [line["reason"] for line in _events(written, "login_refused")] == ["credentials"]


def _again(username: str) -> dict[str, str]:
    own = username.rpartition("\\")[2]
    return {"username": own, "email": "someone@example.org", "password": PASSWORD}


def _events(written: str, name: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in written.splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == name]


async def test_an_error_of_the_database_is_logged_without_values(
    capfd: pytest.CaptureFixture[str], world: World, servers: Servers, database: str
) -> None:
    """A table is gone: a 500 whose statement and parameters would say everything."""
    alice = await world.member()
    session = await a_session(alice)
    await _drop(servers.general.url(database))
    body = {"role": "user", "content": TEXT}
    url = f"/v1/chat-sessions/{session['id']}/messages"
    answer = await alice.http.post(url, json=body)
    _is_plain(answer)
    written = capfd.readouterr().err
    assert [line["status"] for line in _events(written, "request_failed")] == [500]
    assert leaks(written) == []


async def _drop(url: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute("ALTER TABLE messages RENAME TO gone")
    await connection.close()


def _is_plain(answer: httpx.Response) -> None:
    assert answer.status_code == 500
    assert not any(word in answer.text for word in ("messages", "SELECT", "INSERT", "42P01", TEXT))


def test_objects_print_no_secret(servers: Servers) -> None:
    url = "postgresql://bicameral_app:hunter2-the-secret@db.internal/user"
    settings: Settings = settings_for(servers, "x", database_url_user=url)
    token = new_token()
    principal = Principal(uuid4(), uuid4(), "\\a\\b", frozenset({Role.MEMBER}), token_digest(token))
    for thing in (settings, settings.url("user"), settings.database_url_user, principal):
        for shown in (repr(thing), str(thing), f"{thing}"):
            assert "hunter2" not in shown
            assert repr(token_digest(token)) not in shown
    assert "hunter2" not in str(settings.model_dump())
    assert "hunter2" not in settings.model_dump_json()
