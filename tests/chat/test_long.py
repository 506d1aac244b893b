"""A deletion may take longer than a look-up counts, and is done by those who still may."""

from __future__ import annotations

import asyncio

import asyncpg

from app.chat.writes import HOLDS_SECONDS
from app.config.settings import Settings
from app.server import create_app
from tests.support.callers import client_of
from tests.support.conversation import a_conversation
from tests.support.factories import World
from tests.support.servers import Servers, alive

SLOW = f"""
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_sleep({HOLDS_SECONDS + 0.2});
    RETURN NULL;
END $$;
CREATE TRIGGER slow AFTER DELETE ON messages FOR EACH STATEMENT EXECUTE FUNCTION slow();
"""
SLEEPING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
MANY = 3000  # messages


async def test_a_long_deletion_is_done_or_leaves_everything(
    world: World, servers: Servers, database: str, settings: Settings
) -> None:
    """It is done if who asked for it still may; refused and undone, if they were blocked, or if it
    takes longer than a statement may.
    """
    boss, alice, bob = await world.tenant_admin(), await world.member(), await world.member()
    cut, deleted = await a_conversation(alice, "a", "b"), await a_conversation(alice, "a")
    blocked, hasty = await a_conversation(bob, "a"), await a_conversation(alice, "a")
    for _ in range(MANY // 1000):
        await cut.say(*["x"] * 1000)
    impatient = create_app(settings.model_copy(update={"db_statement_timeout_seconds": 0.5}))
    general = await asyncpg.connect(servers.general.url(database))
    await general.execute(SLOW)
    async with alive(impatient), client_of(impatient, None) as nobody:
        soon_over = hasty.of(World(impatient, nobody).same(alice).http)
        answers = [
            asyncio.create_task(one)
            for one in (
                cut.cut(1),
                alice.http.delete(deleted.path),
                bob.http.delete(blocked.path),
                soon_over.cut(0),
            )
        ]
        while await general.fetchval(SLEEPING) < len(answers):
            pass  # each question is a round trip
        assert (await boss.http.post(f"/v1/users/{bob.id}/block")).status_code == 200
        statuses = [(await answer).status_code for answer in answers]
    assert statuses == [200, 204, 401, 503]
    assert answers[0].result().json() == {"deleted": MANY + 1}
    left = "SELECT session_id::text FROM messages ORDER BY session_id"
    paths = [f"/v1/chat-sessions/{row[0]}" for row in await general.fetch(left)]
    assert sorted(paths) == sorted([cut.path, blocked.path, hasty.path])
    await general.close()
