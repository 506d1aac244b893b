"""Before COMMIT the server digests what is stored, as the rows' own lines would be digested."""

from __future__ import annotations

import pytest

from app.bridge.export.stored import NO_IDLE_TIMEOUT
from app.bridge.importing.digests import Stored, Sum
from app.bridge.importing.importer import CHANGED
from app.chat.words import Seal
from app.databases.database import Databases
from app.databases.sessions import driver_of
from tests.support import sealing
from tests.support.factories import Someone, World, a_message, a_session
from tests.support.importing import exported, imported
from tests.support.life import a_life
from tests.support.moved import Target
from tests.support.servers import Servers, run

pytestmark = pytest.mark.skipif(sealing.IS_WANTED, reason="what is sealed is opened row by row")
SAID = ["\x01\x07\b\t\n\f\r\x1f\x7f", "\u0080\u2028\ufeff\ufffd", "\\ \"'/ 日本語 😀", ""]
TIMES = ["0001-01-01Z", "2026-01-02 03:04:05Z", "2026-01-02 03:04:05.12Z", "9999-12-31 23:59:59Z"]
ROWS = """
UPDATE messages m SET content = odd.said, client_id = '"\\' || m.position,
    created_at = odd.at::timestamptz,
    updated_at = CASE m.position WHEN 1 THEN odd.at::timestamptz END
FROM unnest(ARRAY[{}], ARRAY[{}]) WITH ORDINALITY AS odd (said, at, position)
WHERE m.position = odd.position
"""
CHANGES = [
    "id = gen_random_uuid()",
    "role = 'tool'",
    "content = content || ' '",
    "parts = '[]'",
    """metadata = '{"a":"b"}'""",
    "client_id = NULL",
    "client_digest = sha256('x')",
    "item_id = 'item_1'",
    "item_members = '{}'",
    "is_item = NOT is_item",
    "status = 'incomplete'",
    "created_by = id",
    "created_at = created_at + interval '1 microsecond'",
    "updated_at = created_at + interval '1 microsecond'",
    "position = 9",
]
CHANGE_EACH = """
CREATE FUNCTION change() RETURNS trigger LANGUAGE plpgsql
AS $$ BEGIN NEW.content := NEW.content || ' '; RETURN NEW; END $$;
CREATE TRIGGER change BEFORE INSERT ON messages FOR EACH ROW WHEN (NEW.position = 2)
EXECUTE FUNCTION change()
"""


async def sums(databases: Databases, whose: Someone) -> tuple[Sum, Sum]:
    """Digest a person's rows by the server, and row by row."""
    seals = {whose.id: Seal(whose.tenant_id, None, is_sealing=False)}
    async with databases.general.session(whose.tenant_id) as session:
        await session.execute(NO_IDLE_TIMEOUT)
        stored = Stored(await driver_of(session), whose.tenant_id, seals)
        return (await stored.digested())[whose.id], (await stored.read())[whose.id]


async def test_the_server_digests_whatever_can_be_written(world: World) -> None:
    alice = await world.member()
    await a_life(alice)
    by_server, by_row = await sums(world.databases, alice)
    assert by_server == by_row
    assert by_server.conversations == 4


async def test_odd_texts_and_times_and_every_change_are_in_the_digest(
    world: World, servers: Servers, database: str
) -> None:
    alice = await world.member()
    session = await a_session(alice)
    for _ in SAID:
        await a_message(alice, session["id"])
    said, times = (",".join(quoted(one) for one in each) for each in (SAID, TIMES))
    await run(servers.general, ROWS.format(said, times), database)
    first, by_row = await sums(world.databases, alice)
    assert first == by_row
    for change in CHANGES:
        await run(servers.general, f"UPDATE messages SET {change} WHERE position = 2", database)
        by_server, by_row = await sums(world.databases, alice)
        assert by_server == by_row != first, change
        first = by_server


def quoted(said: str) -> str:
    return "'" + said.replace("'", "''") + "'"


async def test_nobody_is_stored_with_other_rows_than_the_file_has(
    world: World, target: Target
) -> None:
    alice = await world.member()
    session = await a_session(alice)
    for _ in range(2):
        await a_message(alice, session["id"])
    file = await exported(world.databases, target.settings)
    await target.run(CHANGE_EACH)
    databases = Databases.create(target.settings)
    try:
        said = (await imported(databases, target.settings, file)).said
    finally:
        await databases.dispose()
    assert said == [f"user {alice.id} of tenant {alice.tenant_id} {CHANGED}."]
    assert await target.rows("messages") == []
