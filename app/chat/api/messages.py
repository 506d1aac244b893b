"""The messages of a chat session over HTTP: each its owner's only."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from litestar import Controller, Request, Response, get, post
from litestar.params import FromPath, JSONBody

from app.chat import schemas
from app.chat.messages import MessageService
from app.edge.lanes import LaneName
from app.http.exchange import response
from app.http.idempotency import Key, keyed
from app.http.openapi import problems
from app.http.paging import AfterPosition, Limit, Order, cursor_of, position_after
from app.http.security import Principal, reads_chat, writes_chat

Call = Request[Principal, Any, Any]


class MessageController(Controller):
    path = "/chat-sessions/{session_id:uuid}/messages"
    tags = ["chat"]
    opt = {"lane": LaneName.CHAT}

    @post("/", guards=[writes_chat], responses=problems(403, 404, 409))
    async def create_message(
        self,
        request: Call,
        session_id: FromPath[UUID],
        data: JSONBody[schemas.NewMessage],
        idempotency_key: Key = None,
    ) -> Response[schemas.Message]:
        """Append a message.

        It is given the next `position` in its conversation: 1, 2, 3, without gaps. With an
        `Idempotency-Key` the same request can be sent again without appending twice.
        """
        sent = await keyed(request, idempotency_key) if idempotency_key else None
        request.user.check_role_of([data.role])
        return response(await _messages(request).append(request.user, session_id, data, sent))

    @post("/batch", guards=[writes_chat], responses=problems(403, 404, 409))
    async def create_messages(
        self,
        request: Call,
        session_id: FromPath[UUID],
        data: JSONBody[schemas.NewMessages],
        idempotency_key: Key = None,
    ) -> Response[schemas.Messages]:
        """Append up to a thousand messages.

        All of them or none, in the order sent, at positions that follow one another.
        """
        sent = await keyed(request, idempotency_key) if idempotency_key else None
        request.user.check_role_of(message.role for message in data.messages)
        service = _messages(request)
        return response(await service.append_all(request.user, session_id, data.messages, sent))

    @get("/", guards=[reads_chat], responses=problems(404))
    async def list_messages(
        self,
        request: Call,
        session_id: FromPath[UUID],
        limit: Limit = 50,
        after: AfterPosition = None,
        order: Order = "desc",
    ) -> schemas.MessagePage:
        """List a conversation's messages.

        Newest first, or oldest first with `order=asc`, in pages of at most `limit` and at most 4
        MiB, but of at least one message; take `next` of one page as `after` for the following.
        """
        this = "messages", session_id, order
        page = await _messages(request).page(
            request.user,
            session_id,
            limit=limit,
            after=position_after(after, *this),
            newest_first=order == "desc",
        )
        following = cursor_of(page.messages[-1].position, *this) if page.is_more else None
        return schemas.MessagePage(page.messages, following)


# A function, and no dependency: Litestar's resolving one costs a tenth of the fastest routes.
def _messages(request: Call) -> MessageService:
    return MessageService(request.app.state.databases.general, request.app.state.writes)
