"""Behind proxies: whose request it is, by which headers, and which are not believed."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from app.config.settings import Settings, SettingsError
from app.edge.forwarded import behind_proxies
from app.server import create_app
from tests.support.wire import serving

PROXY, OTHER = ("10.0.0.1", 5000), ("192.0.2.9", 5000)
CLIENT = "203.0.113.7"
Headers = list[tuple[bytes, bytes]]


def forwarded_for(*values: str) -> Headers:
    return [(b"x-forwarded-for", value.encode()) for value in values]


async def seen(
    trusted: str, peer: tuple[str, int] | None, headers: Headers, path: str = "/", root: str = ""
) -> dict[str, Any]:
    """Return the scope that the application gets."""
    found: dict[str, Any] = {}

    async def app(scope: Any, *_: Any) -> None:
        found.update(scope)

    settings = Settings.model_validate({"trusted_proxies": trusted, "root_path": root})
    wrapped: Any = behind_proxies(app, settings)
    scope = {"type": "http", "client": peer, "scheme": "http", "headers": headers, "path": path}
    await wrapped(scope, None, None)
    return found


async def client_of(trusted: str, peer: tuple[str, int] | None, *values: str) -> str | None:
    client = (await seen(trusted, peer, forwarded_for(*values)))["client"]
    return client and client[0]


@pytest.mark.parametrize("peer", [("127.0.0.1", 1), ("::1", 1), PROXY, None])
@pytest.mark.parametrize("trusted", ["", "10.9.0.0/16"])
async def test_nobody_is_believed_who_is_not_trusted(
    peer: tuple[str, int] | None, trusted: str
) -> None:
    assert await client_of(trusted, peer, CLIENT) == (peer and peer[0])
    scope = await seen(trusted, peer, [(b"x-forwarded-proto", b"https")])
    assert scope["scheme"] == "http"


@pytest.mark.parametrize(
    ("trusted", "peer"),
    [
        ("10.0.0.1", PROXY),
        ("192.0.2.1, 10.0.0.0/8", PROXY),
        ("10.0.0.1", ("::ffff:10.0.0.1", 1)),
        ("::ffff:10.0.0.1", PROXY),
        ("::ffff:10.0.0.0/104", PROXY),
        ("2001:db8::/32", ("2001:db8::5", 1)),
        ("fe80::/10", ("fe80::1%eth0", 1)),
        ("0.0.0.0/0", PROXY),
        ("unix", None),
    ],
)
async def test_a_trusted_proxy_is_believed(trusted: str, peer: tuple[str, int] | None) -> None:
    assert await client_of(trusted, peer, CLIENT) == CLIENT
    assert await client_of(trusted, OTHER, CLIENT) == (CLIENT if "/0" in trusted else OTHER[0])


async def test_to_trust_unix_sockets_is_to_trust_no_address() -> None:
    assert await client_of("unix", ("127.0.0.1", 1), CLIENT) == "127.0.0.1"
    assert await client_of("127.0.0.1, ::1", None, CLIENT) is None


@pytest.mark.parametrize(
    ("values", "client"),
    [
        (["198.51.100.66, 203.0.113.7"], CLIENT),  # the first was the client's own invention
        (["198.51.100.66", "203.0.113.7"], CLIENT),  # in two headers, likewise
        (["198.51.100.66, 203.0.113.7, 10.0.0.3", "10.0.0.2"], CLIENT),
        (["10.0.0.66, 203.0.113.7, 10.0.0.2"], CLIENT),  # an invented address of a proxy
        (["10.0.0.3, 10.0.0.2"], "10.0.0.3"),  # a proxy asks for itself: is the service there?
        (["203.0.113.7:1234"], CLIENT),
        (["[2001:db8::1]:443"], "2001:db8::1"),
        (["[2001:db8::1]"], "2001:db8::1"),
        (["2001:db8::1"], "2001:db8::1"),
        (["::ffff:203.0.113.7"], CLIENT),
        ([" 198.51.100.66 ,, 203.0.113.7 , "], CLIENT),
        (["203.0.113.7, unknown, 10.0.0.2"], "10.0.0.2"),
        (["203.0.113.7, unknown"], PROXY[0]),
        (["203.0.113.7, 10.0.0.2:port:0"], PROXY[0]),
        (["\u00e9"], PROXY[0]),
        ([""], PROXY[0]),
        ([], PROXY[0]),
    ],
)
async def test_the_right_most_address_that_is_not_trusted_counts(
    values: list[str], client: str
) -> None:
    assert await client_of("10.0.0.0/8", PROXY, *values) == client


@pytest.mark.parametrize(
    ("addresses", "schemes", "scheme"),
    [
        ("203.0.113.7", ["https"], "https"),
        ("203.0.113.7", ["HTTPS"], "https"),
        ("203.0.113.7", ["https, http"], "http"),  # the first was the client's own invention
        ("203.0.113.7, 10.0.0.2", ["https, http"], "https"),  # each proxy added one
        ("203.0.113.7, 10.0.0.2", ["https", "http"], "https"),
        ("203.0.113.7, 10.0.0.2", ["https"], "https"),  # the second passed it on
        ("203.0.113.7", ["gopher"], "http"),
        ("203.0.113.7", [], "http"),
    ],
)
async def test_the_scheme_is_the_one_that_the_client_used(
    addresses: str, schemes: list[str], scheme: str
) -> None:
    headers = forwarded_for(addresses) + [(b"x-forwarded-proto", s.encode()) for s in schemes]
    assert (await seen("10.0.0.0/8", PROXY, headers))["scheme"] == scheme


@pytest.mark.parametrize(
    ("path", "inside"),
    [
        ("/bic/v1/me", "/v1/me"),
        ("/v1/me", "/v1/me"),
        ("/bic", "/"),
        ("/bic/", "/"),
        ("/bicycle", "/bicycle"),
        ("/bic/bic/v1", "/bic/v1"),
        ("/v1/bic/me", "/v1/bic/me"),
    ],
)
async def test_the_prefix_may_be_stripped_by_the_proxy_or_by_us(path: str, inside: str) -> None:
    assert (await seen("", OTHER, [], path, root="/bic"))["path"] == inside


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("trusted_proxies", "10.0.0.1, proxy.example.org", "proxy.example.org is no address"),
        ("trusted_proxies", "10.0.0.1/8", "10.0.0.1/8 is no address and no network"),
        ("trusted_proxies", "*", "\\* is no address"),
        ("trusted_proxies", "10.0.0.256", "is no address"),
        ("root_path", "bic", "must begin with a slash"),
        ("root_path", "/bic/", "not end with one"),
        ("root_path", "/", "not end with one"),
        ("root_path", "//bic", "must begin with a slash"),
        ("root_path", "/a/../b", "must begin with a slash"),
        ("root_path", "/a%2Fb", "must begin with a slash"),
        ("root_path", "https://example.org/bic", "must begin with a slash"),
    ],
)
def test_a_setting_that_cannot_be_read_is_refused(name: str, value: str, line: str) -> None:
    with pytest.raises(ValueError, match=line):
        Settings.model_validate({name: value})


@pytest.mark.parametrize("path", ["/v1", "/schema/api", "/health"])
def test_a_prefix_that_begins_as_a_route_does_is_refused(settings: Settings, path: str) -> None:
    """A path below it could be meant as it stands, or with the prefix stripped already."""
    with pytest.raises(SettingsError, match="ROOT_PATH"):
        create_app(settings.model_copy(update={"root_path": path}))


async def test_the_server_itself_believes_nobody_on_this_machine() -> None:
    async def echo(scope: Any, receive: Any, send: Any) -> None:
        said = f"{scope['scheme']} {scope['client'][0]}".encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": said})

    async with serving(echo, Settings.model_validate({})) as port, httpx.AsyncClient() as client:
        headers = {"X-Forwarded-For": CLIENT, "X-Forwarded-Proto": "https"}
        answer = await client.get(f"http://127.0.0.1:{port}/", headers=headers)
    assert answer.text == "http 127.0.0.1"
