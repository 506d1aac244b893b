"""Chat's own services, past HTTP: as requests whose token was checked in time use them."""

from __future__ import annotations

import time
from uuid import UUID

from msgspec.structs import replace

from app.chat import schemas
from app.chat.conversations import ChatSessionService
from app.chat.messages import MessageService
from app.chat.writes import Writes
from app.databases.database import Database
from app.databases.sessions import GeneralSession
from app.http.security import Principal
from tests.support.plain import SEALING

General = Database[GeneralSession]
KEPT_SECONDS = 60


async def still_good(principal: Principal) -> Principal:
    return replace(principal, looked_up_at=time.monotonic())


def writes(general: General, *, turn_seconds: float = 5) -> Writes:
    kept = KEPT_SECONDS
    return Writes(
        general, still_good, SEALING, answers_kept_seconds=kept, turn_seconds=turn_seconds
    )


async def open_session(
    general: General, owner: Principal, title: str | None = None
) -> schemas.ChatSession:
    new = schemas.NewChatSession(title)
    opened = await ChatSessionService(general, writes(general)).open(owner, new)
    assert isinstance(opened, schemas.ChatSession)
    return opened


async def append(general: General, owner: Principal, session_id: UUID, count: int = 1) -> None:
    messages = [schemas.NewMessage("user", "Hello")] * count
    await MessageService(writes(general)).append_all(owner, session_id, messages)
