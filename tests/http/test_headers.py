"""Every answer tells browsers what they may do with it; a setting never shows its secret."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from litestar import Litestar

from app.config.settings import Settings
from app.server import create_app
from tests.support.factories import World

ALWAYS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
}
PAGE = "https://app.example.org"
READABLE = (
    "Allow, ETag, Location, Retry-After, WWW-Authenticate, X-Request-Id, X-Should-Retry,"
    " traceresponse"
)
SENT = [
    *("authorization", "content-type", "idempotency-key", "if-match", "on-behalf-of"),
    *("traceparent", "x-request-id"),
]
SECRET = "correct-horse-battery-staple"


def client_of(app: Litestar) -> httpx.AsyncClient:
    asgi: Any = app  # the two libraries spell ASGI's types differently
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=asgi), base_url="http://bicameral")


async def test_every_answer_bears_the_security_headers(world: World) -> None:
    alice = await world.member()
    for path in ("/v1/me", "/v1/users", "/nowhere", "/v1/nowhere", "/health/live", "/metrics"):
        headers = (await alice.http.get(path)).headers
        assert ALWAYS.items() <= headers.items()
        assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert headers.get("cache-control") == ("no-store" if path.startswith("/v1") else None)
        assert "strict-transport-security" not in headers
        assert "access-control-allow-origin" not in headers
    for path in ("/schema", "/schema/openapi.json"):
        answer = await alice.http.get(path)
        policies = answer.headers.get_list("content-security-policy")
        assert (answer.status_code, len(policies)) == (200, 1)
        assert ALWAYS.items() <= answer.headers.items()
        assert "default-src 'self'" in policies[0]
        assert "frame-ancestors 'none'" in policies[0]


async def test_hsts_is_a_setting(settings: Settings) -> None:
    async with client_of(create_app(settings.model_copy(update={"hsts_seconds": 60}))) as client:
        headers = (await client.get("/health/live")).headers
    assert headers["strict-transport-security"] == "max-age=60; includeSubDomains"


@pytest.mark.parametrize("origin", [PAGE, "https://elsewhere.example.org"])
async def test_only_pages_of_named_origins_may_read_answers(
    settings: Settings, origin: str
) -> None:
    """They are closed out unless named; the gate's refusals can be read like any other answer."""
    more = {"cors_allowed_origins": f"{PAGE}, https://x.example", "request_max_body_bytes": 1024}
    asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    asked["Access-Control-Request-Headers"] = ", ".join(SENT)
    for app in (create_app(settings), create_app(settings.model_copy(update=more))):
        async with client_of(app) as client:
            preflight = await client.options("/v1/users", headers=asked)
            answers = [
                preflight,
                await client.get("/v1/me", headers={"Origin": origin}),
                await client.post("/v1/users", headers={"Origin": origin}, content=b"x" * 2000),
            ]
        is_allowed = app.cors_config is not None and origin == PAGE
        found = {one.headers.get("access-control-allow-origin") for one in answers}
        assert found == {PAGE if is_allowed else None}
        readable = {one.headers.get("access-control-expose-headers") for one in answers[1:]}
        assert readable == {READABLE if app.cors_config else None}
        assert {one.headers.get("vary") for one in answers} == {
            "Origin" if app.cors_config else None
        }
        assert all(ALWAYS.items() <= one.headers.items() for one in answers)


async def test_a_cache_tells_origins_apart_where_none_was_sent(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"cors_allowed_origins": PAGE}))
    async with client_of(app) as client:
        assert (await client.get("/health/live")).headers["vary"] == "Origin"


@pytest.mark.parametrize(
    "origins",
    [
        "app.example.org",
        "https://app.example.org/",
        "https://app.example.org/path",
        "https://App.example.org",
        "https://app.example.org:443",
        "http://app.example.org:80",
        "https://*.example.org",
        "https://",
        "https://user@app.example.org",
        "https://app.example.org:port",
        "ftp://app.example.org",
        "null",
        "https://a.example;https://b.example",
        "https://a.example https://b.example",
        "https://bücher.example",
        "https://app.example.org, b.example",
    ],
)
def test_an_origin_that_no_browser_sends_is_refused_as_a_setting(origins: str) -> None:
    with pytest.raises(ValueError, match="each must be as a browser sends it"):
        Settings.model_validate({"cors_allowed_origins": origins})


@pytest.mark.parametrize(
    "origins",
    ["*", "", f"{PAGE},", "http://localhost:5173", "http://127.0.0.1:8080,http://[::1]:8080"],
)
def test_an_origin_as_browsers_send_it_is_taken(origins: str) -> None:
    assert Settings.model_validate({"cors_allowed_origins": origins})


@pytest.mark.parametrize(
    "wrong",
    [
        {"Origin": "https://elsewhere.example.org"},
        {"Access-Control-Request-Method": "BREW"},
        {"Access-Control-Request-Headers": "x-something-else"},
    ],
)
async def test_a_refused_preflight_is_a_problem(settings: Settings, wrong: dict[str, str]) -> None:
    asked = {"Origin": PAGE, "Access-Control-Request-Method": "POST"}
    app = create_app(settings.model_copy(update={"cors_allowed_origins": PAGE}))
    async with client_of(app) as client:
        assert (await client.options("/v1/users", headers=asked)).status_code == 204
        answer = await client.options("/v1/users", headers=asked | wrong)
    assert (answer.status_code, answer.json()["status"]) == (400, 400)
    assert answer.headers["content-type"] == "application/problem+json"
    assert "access-control-allow-origin" not in answer.headers
    assert ALWAYS.items() <= answer.headers.items()


def test_settings_show_no_secret() -> None:
    url = f"postgresql://bicameral_app:{SECRET}@db.example/x"
    secret = Settings.model_validate({"database_url_user": url, "database_url_user_owner": url})
    for shown in (repr(secret), str(secret), repr(secret.url("user")), str(secret.url("user"))):
        assert SECRET not in shown
    assert SECRET in secret.url("user").dsn
    wrong = {"database_url_user": f"mysql://root:{SECRET}@db.example/x", "db_pool_size": SECRET}
    for name, value in wrong.items():
        with pytest.raises(ValueError, match=name) as caught:
            Settings.model_validate({name: value})
        assert SECRET not in str(caught.value)
