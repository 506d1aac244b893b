"""The messages of a chat session over HTTP: each its owner's only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar
from uuid import UUID

from litestar import Controller, Request, Response
from litestar.params import FromPath, JSONBody
from litestar.status_codes import HTTP_200_OK

from app.chat import schemas
from app.chat.appended import Appended
from app.chat.etags import ANY, ETAG, IfMatch, expected
from app.chat.messages import MessageService
from app.chat.pages import PageService
from app.chat.sizes import MESSAGE_BYTES, check_sizes
from app.chat.surrogates import decode_with_halves
from app.edge.lanes import LaneName
from app.http.exchange import OTHERWISE, response
from app.http.idempotency import Key, keyed
from app.http.openapi import problems
from app.http.paging import AfterPosition, Limit, Order, cursor_of, position_after
from app.http.routes import get, post
from app.http.security import Principal, reads_chat, writes_chat

T = TypeVar("T")
Call = Request[Principal, Any, Any]


class MessageController(Controller):
    path = "/chat-sessions/{session_id:uuid}/messages"
    tags = ["chat"]
    opt = {"lane": LaneName.CHAT, OTHERWISE: decode_with_halves}

    @post(
        "/", guards=[writes_chat], responses=problems(403, 404, 409, 412), response_headers=[ETAG]
    )
    async def create_message(
        self,
        request: Call,
        session_id: FromPath[UUID],
        data: JSONBody[schemas.NewMessage],
        idempotency_key: Key = None,
        if_match: IfMatch = None,
    ) -> Response[schemas.Message]:
        """Append a message.

        It is given the next `position` in its conversation: 1, 2, 3, without gaps. With an
        `Idempotency-Key` the same request can be sent again without appending twice.
        """
        sent = await keyed(request, idempotency_key) if idempotency_key else None
        state = ANY if if_match is None else expected(request, if_match)
        await check_message_sizes(request, [data])
        request.user.check_role_of([data.role])
        service = MessageService(request.app.state.writes)
        return _created(await service.append(request.user, session_id, data, state, sent))

    @post(
        "/batch",
        guards=[writes_chat],
        responses=problems(403, 404, 409, 412),
        response_headers=[ETAG],
    )
    async def create_messages(
        self,
        request: Call,
        session_id: FromPath[UUID],
        data: JSONBody[schemas.NewMessages],
        idempotency_key: Key = None,
        if_match: IfMatch = None,
    ) -> Response[schemas.Messages]:
        """Append up to a thousand messages.

        All of them or none, in the order sent, at positions that follow one another.
        """
        sent = await keyed(request, idempotency_key) if idempotency_key else None
        state = ANY if if_match is None else expected(request, if_match)
        await check_message_sizes(request, data.messages)
        request.user.check_role_of(message.role for message in data.messages)
        service, messages = MessageService(request.app.state.writes), data.messages
        return _created(await service.append_all(request.user, session_id, messages, state, sent))

    @get("/", guards=[reads_chat], responses=problems(404), response_headers=[ETAG])
    async def list_messages(
        self,
        request: Call,
        session_id: FromPath[UUID],
        limit: Limit = 50,
        after: AfterPosition = None,
        order: Order = "desc",
    ) -> Response[schemas.MessagePage]:
        """List a conversation's messages.

        Newest first, or oldest first with `order=asc`, in pages of at most `limit` and at most 4
        MiB, but of at least one message; take `next` of one page as `after` for the following.
        """
        this = "messages", session_id, order
        state = request.app.state
        page = await PageService(state.databases.general, state.sealing).page(
            request.user,
            session_id,
            limit=limit,
            after=position_after(after, *this),
            newest_first=order == "desc",
        )
        following = cursor_of(page.messages[-1].position, *this) if page.is_more else None
        answer = schemas.MessagePage(page.messages, following)
        return response(answer, {"ETag": page.etag})


async def check_message_sizes(
    request: Call, messages: Sequence[schemas.NewMessage | schemas.MessageEdit]
) -> None:
    """Raises PayloadTooLarge. No message of a small body is too large, which is nearly all."""
    body = await request.body()
    if len(body) > MESSAGE_BYTES:
        check_sizes(body, messages)


def _created(appended: Appended[T | bytes]) -> Response[T]:
    """A stored answer has no tag: the conversation's state may be another one since."""
    answer = response(appended.answer, {"ETag": appended.etag} if appended.etag else None)
    if not appended.is_new:
        answer.status_code = HTTP_200_OK
    return answer
