"""Chat's own services, past HTTP: as requests whose token was checked in time use them."""

from __future__ import annotations

from uuid import UUID

from app.chat import schemas
from app.chat.conversations import ChatSessionService
from app.chat.messages import MessageService
from app.databases.database import Database
from app.databases.sessions import GeneralSession
from app.http.security import Principal

General = Database[GeneralSession]
KEPT_SECONDS = 60


async def open_session(
    general: General, owner: Principal, title: str | None = None
) -> schemas.ChatSession:
    service = ChatSessionService(general, answers_kept_seconds=KEPT_SECONDS)
    opened = await service.open(owner, title)
    assert isinstance(opened, schemas.ChatSession)
    return opened


async def append(general: General, owner: Principal, session_id: UUID, count: int = 1) -> None:
    service = MessageService(general, answers_kept_seconds=KEPT_SECONDS)
    await service.append_all(owner, session_id, [schemas.NewMessage("user", "Hello")] * count)
