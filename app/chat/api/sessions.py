"""Chat sessions over HTTP: each its owner's only."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from litestar import Controller, Request, Response, delete, get, patch, post
from litestar.params import FromPath, JSONBody

from app.chat import schemas
from app.chat.conversations import ChatSessionService
from app.edge.lanes import LaneName
from app.http.exchange import response
from app.http.idempotency import Key, keyed
from app.http.openapi import problems
from app.http.paging import After, Limit, Place, cut, place_after
from app.http.security import Principal, reads_chat, writes_chat
from app.http.structs import to_struct

Call = Request[Principal, Any, Any]


class ChatSessionController(Controller):
    path = "/chat-sessions"
    tags = ["chat"]
    opt = {"lane": LaneName.CHAT}

    @post("/", guards=[writes_chat], responses=problems(409))
    async def create_chat_session(
        self,
        request: Call,
        data: JSONBody[schemas.NewChatSession | None] = None,
        idempotency_key: Key = None,
    ) -> Response[schemas.ChatSession]:
        """Open a conversation.

        It is yours alone. A title may be given, now or later.
        """
        title = data.title if data else None
        sent = await keyed(request, idempotency_key) if idempotency_key else None
        return response(await _sessions(request).open(request.user, title, sent))

    @get("/", guards=[reads_chat])
    async def list_chat_sessions(
        self, request: Call, limit: Limit = 50, after: After = None
    ) -> schemas.ChatSessionPage:
        """List your conversations, newest first.

        They come in pages of at most `limit`; take `next` of one page as `after` for the following.
        """
        this = "chat-sessions", request.user.user_id
        start = place_after(after, *this)
        rows = await _sessions(request).page(request.user, limit=limit, after=start)
        page, following = cut(rows, limit, lambda one: Place(one.created_at, one.id), *this)
        items = to_struct(list[schemas.ChatSession], page)
        return schemas.ChatSessionPage(items, following)

    @get("/{session_id:uuid}", guards=[reads_chat], responses=problems(404))
    async def get_chat_session(
        self, request: Call, session_id: FromPath[UUID]
    ) -> schemas.ChatSession:
        """Read a conversation.

        Its title, its times and how many messages it has; the messages have a list of their own.
        """
        return await _sessions(request).get(request.user, session_id)

    @patch("/{session_id:uuid}", guards=[writes_chat], responses=problems(404))
    async def rename_chat_session(
        self,
        request: Call,
        session_id: FromPath[UUID],
        data: JSONBody[schemas.ChatSessionTitle],
    ) -> schemas.ChatSession:
        """Rename a conversation.

        Nothing else about it changes but `updated_at`.
        """
        renamed = await _sessions(request).rename(request.user, session_id, data.title)
        return to_struct(schemas.ChatSession, renamed)

    @delete("/{session_id:uuid}", guards=[writes_chat], responses=problems(404))
    async def delete_chat_session(self, request: Call, session_id: FromPath[UUID]) -> None:
        """Delete a conversation.

        Its messages go with it, in the same transaction. There is no way back.
        """
        await _sessions(request).delete(request.user, session_id)


# A function, and no dependency: Litestar's resolving one costs a tenth of the fastest routes.
def _sessions(request: Call) -> ChatSessionService:
    return ChatSessionService(request.app.state.databases.general, request.app.state.writes)
