"""An append by a look-up that counts no longer begins with another look-up."""

from __future__ import annotations

import time
from uuid import uuid4

from msgspec.structs import replace

from app.chat.messages import MessageService
from app.chat.schemas import NewMessage
from app.chat.writes import HOLDS_SECONDS, Writes
from app.http.security import Principal, Role
from tests.support.chat import KEPT_SECONDS, open_session
from tests.support.factories import World
from tests.support.plain import SEALING

LATE_SECONDS = 2 * HOLDS_SECONDS


async def test_who_is_late_twice_still_appends(world: World) -> None:
    """A large body may take long to read on a busy machine, and long to store."""
    general, seen = world.databases.general, list[float]()
    caller = Principal(uuid4(), uuid4(), "\\acme\\alice", frozenset({Role.MEMBER}))
    late = replace(caller, looked_up_at=time.monotonic() - LATE_SECONDS)

    async def look_up_again(principal: Principal) -> Principal:
        seen.append(principal.looked_up_at)
        return late if len(seen) == 1 else caller

    session = await open_session(general, caller)
    writes = Writes(
        general, look_up_again, SEALING, answers_kept_seconds=KEPT_SECONDS, turn_seconds=5
    )
    new = NewMessage(role="user", content="Hello")
    appended = await MessageService(writes).append_all(late, session.id, [new])
    assert not isinstance(appended.answer, bytes)
    assert [one.position for one in appended.answer.items] == [1]
    assert len(seen) == 2
