"""Chat sessions and their messages over HTTP: each its owner's only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Annotated, Any, TypeVar
from uuid import UUID

from litestar import Controller, Request, Response, delete, get, patch, post
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, JSONBody
from msgspec import Meta, Struct, convert

from app.chat.conversations import ChatSessionService, sessions
from app.chat.messages import Conversations, MessageRole, new_messages
from app.databases.database import Database
from app.databases.sessions import GeneralSession
from app.http.idempotency import Key, Once, keyed, response
from app.http.openapi import problems
from app.http.paging import (
    After,
    AfterPosition,
    Limit,
    Order,
    cut,
    position_after,
    uuid_after,
)
from app.http.security import Principal, signed_in

T = TypeVar("T")
BATCH = 1000
# PostgreSQL's text holds every character but this one.
NO_NUL = r"^[^\u0000]*$"
Title = Annotated[
    str, Meta(min_length=1, max_length=255, pattern=NO_NUL, examples=["Holiday in Norway"])
]
Content = Annotated[
    str, Meta(min_length=1, max_length=262_144, pattern=NO_NUL, examples=["Where is it warm?"])
]


class NewChatSession(Struct, frozen=True, forbid_unknown_fields=True):
    title: Title | None = None


class ChatSessionTitle(Struct, frozen=True, forbid_unknown_fields=True):
    title: Title


class ChatSession(Struct, frozen=True):
    id: UUID
    title: Annotated[str, Meta(examples=["Holiday in Norway"])]
    message_count: Annotated[int, Meta(ge=0)]
    created_at: datetime
    updated_at: datetime


class ChatSessionPage(Struct, frozen=True):
    items: list[ChatSession]
    next: str | None


class NewMessage(Struct, frozen=True, forbid_unknown_fields=True):
    role: MessageRole
    content: Content


class NewMessages(Struct, frozen=True, forbid_unknown_fields=True):
    messages: Annotated[list[NewMessage], Meta(min_length=1, max_length=BATCH)]


class Message(Struct, frozen=True):
    id: UUID
    session_id: UUID
    position: Annotated[int, Meta(ge=1)]
    role: MessageRole
    content: Annotated[str, Meta(examples=["Where is it warm?"])]
    created_at: datetime


class MessagePage(Struct, frozen=True):
    items: list[Message]
    next: str | None


class Messages(Struct, frozen=True):
    items: list[Message]


class ChatSessionController(Controller):
    path = "/chat-sessions"
    tags = ["chat"]
    guards = [signed_in]
    dependencies = {
        "chat_sessions": Provide(sessions, sync_to_thread=False),
    }

    @post("/", responses=problems(409))
    async def create_chat_session(
        self,
        request: Request[Principal, Any, Any],
        chat_sessions: NamedDependency[ChatSessionService],
        general_session: NamedDependency[GeneralSession],
        data: JSONBody[NewChatSession | None] = None,
        idempotency_key: Key = None,
    ) -> Response[ChatSession]:
        """Open a conversation."""
        once = await _once(request, general_session, idempotency_key)
        if stored := await once.stored():
            return response(stored)
        opened = await chat_sessions.open(request.user, data.title if data else None)
        return response(await once.keep(_to(ChatSession, opened)))

    @get("/")
    async def list_chat_sessions(
        self,
        request: Request[Principal, Any, Any],
        chat_sessions: NamedDependency[ChatSessionService],
        limit: Limit = 50,
        after: After = None,
    ) -> ChatSessionPage:
        """List your conversations, newest first."""
        rows = await chat_sessions.of_user(request.user, limit=limit, after=uuid_after(after))
        page, following = cut(rows, limit, lambda session: session.id)
        return ChatSessionPage(_to(list[ChatSession], page), following)

    @get("/{session_id:uuid}", responses=problems(404))
    async def get_chat_session(
        self,
        request: Request[Principal, Any, Any],
        session_id: FromPath[UUID],
    ) -> ChatSession:
        """Read a conversation's title and size."""
        return ChatSession(
            *await Conversations(_general(request)).chat_session(request.user, session_id)
        )

    @patch("/{session_id:uuid}", responses=problems(404))
    async def rename_chat_session(
        self,
        request: Request[Principal, Any, Any],
        session_id: FromPath[UUID],
        data: JSONBody[ChatSessionTitle],
        chat_sessions: NamedDependency[ChatSessionService],
    ) -> ChatSession:
        """Rename a conversation."""
        renamed = await chat_sessions.rename(request.user, session_id, data.title)
        return _to(ChatSession, renamed)

    @delete("/{session_id:uuid}", responses=problems(404))
    async def delete_chat_session(
        self,
        request: Request[Principal, Any, Any],
        session_id: FromPath[UUID],
        chat_sessions: NamedDependency[ChatSessionService],
    ) -> None:
        """Delete a conversation and its messages."""
        await chat_sessions.close(request.user, session_id)

    @post("/{session_id:uuid}/messages", responses=problems(404, 409))
    async def create_message(
        self,
        request: Request[Principal, Any, Any],
        session_id: FromPath[UUID],
        data: JSONBody[NewMessage],
        idempotency_key: Key = None,
    ) -> Response[Message]:
        """Append a message."""
        return await _append(request, session_id, [data], idempotency_key, _one)

    @post("/{session_id:uuid}/messages/batch", responses=problems(404, 409))
    async def create_messages(
        self,
        request: Request[Principal, Any, Any],
        session_id: FromPath[UUID],
        data: JSONBody[NewMessages],
        idempotency_key: Key = None,
    ) -> Response[Messages]:
        """Append up to a thousand messages, all or none."""
        return await _append(request, session_id, data.messages, idempotency_key, Messages)

    @get("/{session_id:uuid}/messages", responses=problems(404))
    async def list_messages(
        self,
        request: Request[Principal, Any, Any],
        session_id: FromPath[UUID],
        limit: Limit = 50,
        after: AfterPosition = None,
        order: Order = "desc",
    ) -> MessagePage:
        """Page through a conversation."""
        rows = await Conversations(_general(request)).page(
            request.user,
            session_id,
            limit=limit,
            after=position_after(after),
            newest_first=order == "desc",
        )
        page, following = cut(rows, limit, itemgetter("position"))
        return MessagePage([Message(*row) for row in page], following)


async def _append(
    request: Request[Principal, Any, Any],
    session_id: UUID,
    messages: Sequence[NewMessage],
    key: str | None,
    answer: Callable[[list[Message]], T],
) -> Response[T]:
    """Without a key in one round trip; with one in a transaction, which stores the answer too."""
    texts: list[tuple[MessageRole, str]] = [(one.role, one.content) for one in messages]
    general = _general(request)
    if key is None:
        rows = await Conversations(general).append(request.user, session_id, texts)
        return Response(answer([Message(*row) for row in rows]))
    new = new_messages(request.user, session_id, texts)
    async with general.session(request.user.tenant_id) as session:
        once = await _once(request, session, key)
        if stored := await once.stored():
            return response(stored)
        rows = (await session.execute(new.statement.clause, new.values)).all()
        appended = answer([Message(*row) for row in new.appended(rows)])
        return response(await once.keep(appended, about=session_id))


async def _once(
    request: Request[Principal, Any, Any], session: GeneralSession, key: str | None
) -> Once:
    kept_seconds = request.app.state.settings.idempotency_kept_seconds
    return Once(session, request.user, await keyed(request, key), kept_seconds=kept_seconds)


def _one(messages: list[Message]) -> Message:
    return messages[0]


def _general(request: Request[Principal, Any, Any]) -> Database[GeneralSession]:
    # Not a dependency: Litestar's resolving one costs a tenth of these requests.
    general: Database[GeneralSession] = request.app.state.databases.general
    return general


def _to(shape: type[T], row: object) -> T:
    return convert(row, shape, from_attributes=True)
