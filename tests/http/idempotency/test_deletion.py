"""A stored answer does not outlive whom, or what, it tells of."""

from __future__ import annotations

from app.http.idempotency import HEADER
from tests.support.conversation import a_conversation
from tests.support.factories import World
from tests.support.idempotency import Rows, a_request

STORED = """
SELECT coalesce(convert_from(answer, 'UTF8'), ''), coalesce(fingerprint, '')
FROM user_idempotency_keys WHERE user_id = $1
"""
GONE = ("", "")
# An answer stored by a version that did not write down whom it quotes.
OF_BEFORE = """
UPDATE general_idempotency_keys SET first_position = NULL, last_position = NULL
WHERE user_id = $1 AND key = $2
"""
EMPTIED = """
SELECT key FROM general_idempotency_keys
WHERE user_id = $1 AND answer IS NULL AND fingerprint IS NULL ORDER BY key
"""


async def test_a_key_is_deleted_with_its_user(world: World, rows: Rows) -> None:
    """The very deletion does it in the user database; the relay sees to the general one."""
    boss, other = await world.tenant_admin(), await world.tenant_admin()
    for one in (boss, other):
        assert (await (await a_request(world, "user", one)).send("k")).status_code == 201
    assert (await other.http.delete(f"/v1/users/{boss.id}")).status_code == 202
    assert (await rows.keys(boss), await rows.keys(other)) == (0, 1)


async def test_a_key_is_deleted_with_the_user_it_created(world: World, rows: Rows) -> None:
    """The answer and the request's fingerprint go; the key stays used, so none is created again."""
    request = await a_request(world, "user")
    created = (await request.send("k")).json()
    ((answer, _),) = await rows.user.fetch(STORED, request.by.id)
    assert created["email"] in answer
    assert (await request.by.http.delete(f"/v1/users/{created['id']}")).status_code == 202
    there = await rows.of("user")
    again = await request.send("k")
    assert again.status_code == 409
    assert created["email"] not in again.text
    assert await rows.of("user") == there
    assert [tuple(row) for row in await rows.user.fetch(STORED, request.by.id)] == [GONE]


async def test_a_key_is_deleted_with_the_tenant_of_the_user_it_created(
    world: World, rows: Rows
) -> None:
    root = await world.admin()
    tenant = (await (await a_request(world, "tenant", root)).send("t")).json()
    request = await a_request(world, "user", root)
    body = request.body | {"tenant_id": tenant["id"]}
    created = await root.http.post(request.path, json=body, headers={HEADER: "k"})
    assert created.status_code == 201
    assert (await root.http.delete(f"/v1/tenants/{tenant['id']}")).status_code == 202
    stored = [tuple(row) for row in await rows.user.fetch(STORED, root.id)]
    assert len(stored) == 2
    assert GONE in stored


async def test_a_key_is_deleted_with_the_conversation_whose_messages_it_repeats(
    world: World, rows: Rows
) -> None:
    message = await a_request(world, "message")
    alice = message.by
    assert (await message.send("k")).status_code == 201
    session = message.path.removesuffix("/messages")
    assert (await alice.http.delete(session)).status_code == 204
    assert await rows.keys(alice) == 0
    assert (await message.send("k")).status_code == 404


async def test_an_answer_is_emptied_when_a_message_that_it_quotes_is_edited_or_deleted(
    world: World, rows: Rows
) -> None:
    """The key stays used: a retry that comes late brings nothing back, and appends nothing."""
    alice = await world.member()
    chat = await a_conversation(alice)
    for number in range(10):  # two messages each: positions 1 and 2, 3 and 4 …
        await chat.say(f"{number}a", f"{number}b", **{HEADER: f"k{number}"})
    await rows.general.execute(OF_BEFORE, alice.id, "k5")
    for write in (chat.edit(4, status="incomplete"), chat.delete(7), chat.cut(17)):
        assert (await write).is_success
    there = await chat.read()
    for number in range(10):
        body = {"messages": [{"role": "user", "content": f"{number}{one}"} for one in "ab"]}
        headers = {HEADER: f"k{number}"}
        late = await alice.http.post(f"{chat.messages}/batch", json=body, headers=headers)
        assert late.status_code == (409 if number in (1, 3, 5, 8, 9) else 201), number
    assert await chat.read() == there
    emptied = await rows.general.fetch(EMPTIED, alice.id)
    assert [row[0] for row in emptied] == ["k1", "k3", "k5", "k8", "k9"]


async def test_no_key_is_stored_once_its_owner_is_closed(world: World, rows: Rows) -> None:
    """Deleted between the look at the token and the write. Nor is the message."""
    message = await a_request(world, "message")
    there = await rows.of("message")
    close = "UPDATE owners SET state = 'closed' WHERE user_id = $1"
    await rows.general.execute(close, message.by.id)
    assert (await message.send("k")).status_code == 401
    assert (await rows.keys(message.by), await rows.of("message")) == (0, there)


async def test_no_password_can_be_guessed_from_what_is_stored(world: World, rows: Rows) -> None:
    request = await a_request(world, "user")
    await request.send("k")
    ((_, fingerprint),) = await rows.user.fetch(STORED, request.by.id)
    assert fingerprint.startswith("$argon2id$")
