"""Audit events tell who did what in ids alone, whatever was sent."""

from __future__ import annotations

from app.accounts.audit import Action
from app.accounts.tokens import token_digest
from tests.support.api_keys import a_backend, path_of
from tests.support.factories import PASSWORD, World
from tests.support.logins import superuser
from tests.support.servers import Servers

ANOTHER = "another quiet corner of it"
EVENTS = """
SELECT string_agg(e::text, ' ') AS events, array_agg(DISTINCT e.action) AS actions
FROM audit_events e
"""


async def test_no_secret_and_no_name_stands_in_an_event(
    servers: Servers, database: str, world: World
) -> None:
    root, boss = await world.admin(), await world.tenant_admin()
    backend = await a_backend(world, boss, name="name-of-a-key")
    put = backend.http.put
    user = (await put(path_of("ours-4711"), json={"username": "wilhelmina"})).json()
    path = f"/v1/users/{user['id']}"
    minted = (await backend.http.post(f"{path}/tokens", json={"expires_in": 60})).json()
    mail = {"email": "wilhelmina@example.org"}
    other = await world.someone("\\acme\\ottokar")
    change = {"current_password": PASSWORD, "new_password": ANOTHER}
    for answer in (
        await put(path_of("ours-4711"), json=mail),
        await other.http.put("/v1/me/password", json=change),
        await boss.http.patch(path, json={"roles": ["tenant_admin"]}),
        await boss.http.post(f"{path}/block", json={"reason": "for-this-reason"}),
        await boss.http.post(f"{path}/unblock"),
        await boss.http.get(f"{path}/export"),
        await boss.http.delete(f"{path}/tokens"),
        await boss.http.put(f"{path}/hold", json={"reason": "file 4712"}),
        await boss.http.put(f"{path}/hold", json={"reason": "file 4713"}),
        await boss.http.delete(f"{path}/hold"),
        await boss.http.delete(path),
        await boss.http.delete(f"/v1/api-keys/{backend.id}"),
        made := await root.http.post("/v1/tenants", json={"name": "globex"}),
        await root.http.patch(f"/v1/tenants/{made.json()['id']}", json={"retention_days": 30}),
        await root.http.delete(f"/v1/tenants/{made.json()['id']}"),
    ):
        assert answer.is_success, (answer.request.url, answer.text)
    async with superuser(servers.user.url(database)) as sql:
        row = await sql.fetchrow(EVENTS)
    assert row is not None
    events, actions = row["events"], row["actions"]
    # A command writes that one, without anybody's secret: tests/commands/test_keys.py.
    assert set(actions) == set(Action) - {Action.SEAL_KEYS_ROTATED}
    tokens = [backend.key, minted["access_token"], other.http.headers["authorization"][7:]]
    names = ("ours-4711", "wilhelmina", "ottokar", "globex", "acme", "name-of-a-key")
    said = (PASSWORD, ANOTHER, "for-this-reason", "argon2", "bic_", *tokens)
    digests = [token_digest(token).hex() for token in tokens]
    assert [one for one in (*names, *said, *digests) if one in events] == []
