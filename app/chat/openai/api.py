"""Conversations over HTTP, as OpenAI's clients speak it: each its owner's only."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID

from litestar import Controller, Request, Response
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import Raw

from app.chat.openai import schemas
from app.chat.openai.columns import Prepared, prepared
from app.chat.openai.conversations import ConversationService
from app.chat.openai.ids import CONVERSATION, uuid_of
from app.chat.openai.service import ItemService
from app.edge.lanes import LaneName
from app.http.errors import NotFound, Problem
from app.http.exchange import OTHERWISE, response
from app.http.idempotency import Key, keyed
from app.http.openapi import problems
from app.http.paging import Limit, Order
from app.http.parameters import IGNORES_OTHERS
from app.http.problems import ProblemDetails, problem_response
from app.http.routes import delete, get, post
from app.http.security import Principal, reads_chat, writes_chat

Call = Request[Principal, Any, Any]
After = Annotated[
    str | None, QueryParameter(description="The id that the list goes on after: its `last_id`.")
]


def answer_error(request: Request[Any, Any, Any], error: Any) -> Response[ProblemDetails]:
    """Tell those clients, which repeat by themselves and without a key, when they must not."""
    answer = problem_response(request, error)
    is_unknown = answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE and not isinstance(
        error, Problem
    )
    if answer.status_code == HTTPStatus.CONFLICT or is_unknown:
        answer.headers["X-Should-Retry"] = "false"
    return answer


class ConversationController(Controller):
    path = "/conversations"
    tags = ["conversations"]
    opt = {"lane": LaneName.CHAT, OTHERWISE: schemas.decode_with_halves, IGNORES_OTHERS: True}
    exception_handlers = {Exception: answer_error}  # pyright: ignore[reportUnknownVariableType]  # Litestar's own

    @post("/", guards=[writes_chat], status_code=200, responses=problems(403, 409))
    async def create_conversation(
        self,
        request: Call,
        data: JSONBody[schemas.NewConversation | None] = None,
        idempotency_key: Key = None,
    ) -> Response[schemas.Conversation]:
        """Open a conversation, with its first items.

        It is a chat session, whose messages are its items: either API shows what the other wrote.
        """
        new = data or schemas.NewConversation()
        items = _prepared(request, new.items or [])
        sent = await keyed(request, idempotency_key) if idempotency_key else None
        service = _conversations(request)
        return response(await service.open(request.user, new.metadata, items, sent))

    @get("/", guards=[reads_chat], responses=problems(404))
    async def list_conversations(
        self, request: Call, limit: Limit = 20, after: After = None, order: Order = "desc"
    ) -> schemas.ConversationList:
        """List your conversations.

        Newest first, or oldest first with `order=asc`; `last_id` of one page is `after` of the
        following.
        """
        start = None if after is None else _session(after)
        service, newest = _conversations(request), order == "desc"
        return await service.page(request.user, limit=limit, after=start, newest=newest)

    @get("/{conversation_id:str}", guards=[reads_chat], responses=problems(404))
    async def get_conversation(
        self, request: Call, conversation_id: FromPath[str]
    ) -> schemas.Conversation:
        """Read a conversation.

        Its metadata and when it was opened; the items have a list of their own.
        """
        return await _conversations(request).get(request.user, _session(conversation_id))

    @post(
        "/{conversation_id:str}",
        guards=[writes_chat],
        status_code=200,
        responses=problems(404, 409),
    )
    async def change_conversation(
        self,
        request: Call,
        conversation_id: FromPath[str],
        data: JSONBody[schemas.ConversationChange],
    ) -> schemas.Conversation:
        """Change a conversation's metadata.

        They are replaced as a whole.
        """
        session_id = _session(conversation_id)
        return await _conversations(request).change(request.user, session_id, data.metadata)

    @delete(
        "/{conversation_id:str}",
        guards=[writes_chat],
        status_code=200,
        responses=problems(404, 409),
    )
    async def delete_conversation(
        self, request: Call, conversation_id: FromPath[str]
    ) -> schemas.DeletedConversation:
        """Delete a conversation.

        Its items go with it, in the same transaction. There is no way back.
        """
        await _conversations(request).delete(request.user, _session(conversation_id))
        return schemas.DeletedConversation(conversation_id)


class ItemController(Controller):
    path = "/conversations/{conversation_id:str}/items"
    tags = ["conversations"]
    opt = {"lane": LaneName.CHAT, OTHERWISE: schemas.decode_with_halves, IGNORES_OTHERS: True}
    exception_handlers = {Exception: answer_error}  # pyright: ignore[reportUnknownVariableType]  # Litestar's own

    @post("/", guards=[writes_chat], status_code=200, responses=problems(403, 404, 409))
    async def create_items(
        self,
        request: Call,
        conversation_id: FromPath[str],
        data: JSONBody[schemas.NewItems],
        idempotency_key: Key = None,
    ) -> Response[schemas.ItemList]:
        """Append up to a thousand items.

        All of them or none. What is sent comes back as it was: of an item only an `id` that is
        missing, taken or no `prefix_…` is replaced, and a message's `status` added.
        """
        session_id, items = _session(conversation_id), _prepared(request, data.items)
        sent = await keyed(request, idempotency_key) if idempotency_key else None
        return response(await _items(request).append(request.user, session_id, items, sent))

    @get("/", guards=[reads_chat], responses=problems(404))
    async def list_items(
        self,
        request: Call,
        conversation_id: FromPath[str],
        limit: Limit = 20,
        after: After = None,
        order: Order = "desc",
    ) -> schemas.ItemList:
        """List a conversation's items.

        Newest first, or oldest first with `order=asc`, in pages of at most `limit` and at most 4
        MiB; `last_id` of one page is `after` of the following.
        """
        session_id, newest = _session(conversation_id), order == "desc"
        service = _items(request)
        return await service.page(request.user, session_id, limit=limit, after=after, newest=newest)

    @get("/{item_id:str}", guards=[reads_chat], responses=problems(404))
    async def get_item(
        self, request: Call, conversation_id: FromPath[str], item_id: FromPath[str]
    ) -> schemas.AnyItem:
        """Read an item of a conversation.

        It is found by its own id, or by the one it was given here.
        """
        found: Any = await _items(request).get(request.user, _session(conversation_id), item_id)
        return found

    @delete("/{item_id:str}", guards=[writes_chat], status_code=200, responses=problems(404, 409))
    async def delete_item(
        self, request: Call, conversation_id: FromPath[str], item_id: FromPath[str]
    ) -> schemas.Conversation:
        """Delete an item of a conversation.

        The answer is the conversation that it was in.
        """
        session_id = _session(conversation_id)
        await _items(request).delete(request.user, session_id, item_id)
        return await _conversations(request).get(request.user, session_id)


def _prepared(request: Call, sent: list[Raw]) -> list[Prepared]:
    items = prepared(sent)
    request.user.check_role_of(one.item.role for one in items)
    return items


def _session(conversation_id: str) -> UUID:
    """Raises NotFound for what is no id of a conversation."""
    session_id = uuid_of(conversation_id, CONVERSATION)
    if session_id is None:
        raise NotFound
    return session_id


def _conversations(request: Call) -> ConversationService:
    return ConversationService(request.app.state.databases.general, request.app.state.writes)


def _items(request: Call) -> ItemService:
    return ItemService(request.app.state.databases.general, request.app.state.writes)
