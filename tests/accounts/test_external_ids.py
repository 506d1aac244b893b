"""An external id is what was sent, byte for byte, in a body, in a path and in a header."""

from __future__ import annotations

import httpx

from tests.support.api_keys import a_backend, path_of
from tests.support.factories import World
from tests.support.servers import Servers
from tests.support.wire import service

HERE = "/v1/users/by-external-id"
ODD = (
    "a/b",
    "/",
    "//",
    "/a",
    "a/",
    "%",
    "%2F",
    "%252f",
    "a%b",
    "?x=1",
    "#",
    "a+b",
    "...",
    "-",
    "~",
)


async def test_an_external_id_is_checked(world: World) -> None:
    boss = await world.tenant_admin()
    for wrong in ("", ".", "..", "a b", "é", "a" * 256, "\x7f", "a\n", "a/ "):
        answers = [await boss.http.post("/v1/users", json={"external_id": wrong})]
        if wrong.strip("."):  # clients take dots out of a path, and nothing is no segment
            answers += [await boss.http.request(one, path_of(wrong)) for one in ("GET", "PUT")]
        for answer in answers:
            assert answer.status_code == 422, (wrong, answer.text)
            assert answer.json()["errors"][0]["path"] == "external_id"


async def test_external_ids_are_what_was_sent_byte_for_byte(
    servers: Servers, database: str
) -> None:
    """Through the server, whose paths come decoded."""
    async with service(servers, database) as it:
        boss = await it.world.tenant_admin()
        base, headers = f"http://127.0.0.1:{it.port}", dict(boss.http.headers)
        async with httpx.AsyncClient(base_url=base, headers=headers) as http:
            ids = {*ODD, *(one.upper() for one in ODD), "a" * 255}
            for one in ids:
                made = await http.put(path_of(one), json={})
                assert (made.status_code, made.json()["external_id"]) == (201, one), one
            for one in ids:
                assert (await http.get(path_of(one))).json()["external_id"] == one
                found = await http.get(f"{HERE}/{''.join(f'%{ord(s):02x}' for s in one)}")
                assert found.json()["external_id"] == one
            for dots in ("%2e", "%2E%2e"):
                assert (await http.put(f"{HERE}/{dots}", json={})).status_code == 422
            for no_segment in (f"{HERE}/a/b", HERE, f"{HERE}/", f"{HERE}//"):
                assert (await http.put(no_segment, json={})).status_code in (404, 405), no_segment
            acting = {"On-Behalf-Of": "external:a/b"}
            backend = await a_backend(it.world, boss, "chat:read")
            acting["Authorization"] = f"Bearer {backend.key}"
            assert (await http.get("/v1/me", headers=acting)).json()["external_id"] == "a/b"
