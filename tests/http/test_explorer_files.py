"""The explorer's files come compressed, named by their content, and from this service alone."""

from __future__ import annotations

import gzip
import re
from typing import Any

import httpx
import pytest

from app.http.explorer.files import accepts
from app.http.openapi import openapi_config
from app.http.problems import PROBLEM_JSON

SCALAR = "/schema/static/scalar.standalone.js"
FILES = [
    *("/schema", "/schema/openapi.json", SCALAR, "/schema/static/explorer.js"),
    *("/schema/static/explorer.css", "/schema/static/favicon.svg"),
]


@pytest.mark.parametrize("path", FILES)
async def test_who_has_it_is_told_so(client: httpx.AsyncClient, path: str) -> None:
    for coding in ("gzip", "identity"):
        asked = {"accept-encoding": coding}
        first = await client.get(path, headers=asked)
        tag = first.headers["etag"]
        assert (first.status_code, first.headers["vary"]) == (200, "accept-encoding")
        for names in (tag, f"W/{tag}", f'"other", {tag}', "*"):
            again = await client.get(path, headers=asked | {"if-none-match": names})
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
            assert "content-security-policy" in again.headers
        changed = await client.get(path, headers=asked | {"if-none-match": '"other"'})
        assert (changed.status_code, changed.content) == (200, first.content)


@pytest.mark.parametrize("path", FILES)
async def test_it_is_sent_compressed_to_who_asks_for_it(
    client: httpx.AsyncClient, path: str
) -> None:
    plain = await client.get(path, headers={"accept-encoding": "identity"})
    async with client.stream("GET", path, headers={"accept-encoding": "br, gzip"}) as answer:
        raw = b"".join([part async for part in answer.aiter_raw()])
    assert "content-encoding" not in plain.headers
    assert answer.headers["content-encoding"] == "gzip"
    assert gzip.decompress(raw) == plain.content
    assert int(answer.headers["content-length"]) == len(raw)
    assert answer.headers["etag"] != plain.headers["etag"]
    assert answer.headers["content-type"] == plain.headers["content-type"]


async def test_all_of_it_weighs_a_megabyte_and_a_half(client: httpx.AsyncClient) -> None:
    asked = {"accept-encoding": "gzip"}
    weights = [
        int((await client.get(one, headers=asked)).headers["content-length"]) for one in FILES
    ]
    assert sum(weights) < 1_500_000


@pytest.mark.parametrize(
    ("header", "is_accepted"),
    [
        *(("gzip", True), ("br, GZIP;q=0.5", True), ("*", True), ("*;q=0.1", True)),
        *(("", False), ("gzip;q=0", False), ("gzip; q=0.000, *", False), ("br", False)),
        *(("gzip;q=many", False), ("identity", False)),
    ],
)
def test_a_weight_of_zero_refuses(header: str, is_accepted: bool) -> None:
    assert accepts(header, "gzip") is is_accepted


async def test_the_page_names_no_other_host(client: httpx.AsyncClient) -> None:
    page = (await client.get("/schema")).text
    assert "http://" not in page
    assert "https://" not in page
    named = set(re.findall(r'(?:src|href)="([^"]*)"', page))
    assert named == set(FILES) - {"/schema"}


@pytest.mark.parametrize(
    "path", ["/schema/nope", "/schema/static/nope.js", "/schema/static/page.py"]
)
async def test_what_is_not_there_is_a_problem(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(f"/schema/{path}")
    assert (answer.status_code, answer.headers["content-type"]) == (404, PROBLEM_JSON)


def test_behind_a_prefix_everything_is_behind_it() -> None:
    config: Any = openapi_config("1", '/a"b')
    page: bytes = config.render_plugins[0].render(None, {})
    named = re.findall(r'(?:src|href)="([^"]*)"', page.decode())
    assert named
    assert [one for one in named if not one.startswith("/a&quot;b/schema/")] == []
