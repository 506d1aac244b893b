"""A deletion takes the external id along: whoever comes again under it is somebody else."""

from __future__ import annotations

from app.http.idempotency import HEADER
from tests.support.api_keys import a_backend, path_of
from tests.support.factories import World
from tests.support.logins import superuser
from tests.support.servers import Servers

MARK = "ours-4714"
ANSWERS = ("api_key_answers", "user_idempotency_keys")
TABLES = """
SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
"""
ROWS = "SELECT string_agg(t::text, ' ') FROM {table} t"


async def test_whoever_was_deleted_comes_again_as_somebody_else(world: World) -> None:
    boss = await world.tenant_admin()
    backend = await a_backend(world, boss)
    old = (await backend.http.put(path_of("ours-4711"), json={"email": "p@example.org"})).json()
    acting = backend.acting_for("external:ours-4711")
    assert (await acting.post("/v1/chat-sessions", json={"title": "old"})).status_code == 201
    assert (await backend.http.delete(f"/v1/users/{old['id']}")).status_code == 202
    assert (await backend.http.get(path_of("ours-4711"))).status_code == 404
    assert (await acting.get("/v1/chat-sessions")).status_code == 404
    again = await backend.http.put(path_of("ours-4711"), json={"email": "p@example.org"})
    assert (again.status_code, again.json()["id"] == old["id"]) == (201, False)
    assert (await acting.get("/v1/chat-sessions")).json()["items"] == []
    late = backend.acting_for(old["id"])
    assert (await late.post("/v1/chat-sessions", json={})).status_code == 410
    assert (await backend.http.get("/v1/erasures")).json()["items"][0]["user_id"] == old["id"]


async def test_no_row_tells_of_who_was_deleted(
    servers: Servers, database: str, world: World
) -> None:
    """Neither do stored answers, which are bytes."""
    boss = await world.tenant_admin()
    backend = await a_backend(world, boss)
    body = {"external_id": MARK, "username": MARK, "email": f"{MARK}@example.org"}
    for client in (boss.http, backend.http):
        answer = await client.post("/v1/users", json=body, headers={HEADER: "k"})
        assert answer.status_code == 201
        user = answer.json()["id"]
        assert await _tables_with_mark(servers, database) == {"users", ANSWERS[client is boss.http]}
        assert (await client.put(path_of(MARK), json={"username": f"{MARK}-2"})).is_success
        minted = await client.post(f"/v1/users/{user}/tokens", json={"expires_in": 60})
        assert minted.status_code == 201
        assert (await client.delete(f"/v1/users/{user}")).status_code == 202
        assert await _tables_with_mark(servers, database) == set()


async def _tables_with_mark(servers: Servers, database: str) -> set[str]:
    async with superuser(servers.user.url(database)) as sql:
        tables = [row["relname"] for row in await sql.fetch(TABLES)]
        texts = {one: await sql.fetchval(ROWS.format(table=one)) for one in tables}
    marks = MARK, MARK.encode().hex()
    return {one for one, text in texts.items() if any(mark in (text or "") for mark in marks)}
