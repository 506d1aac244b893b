"""Chat sessions over HTTP: each its owner's only."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from litestar import Controller, Request, Response
from litestar.openapi import ResponseSpec
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import ValidationError, convert

from app.chat import schemas
from app.chat.conversations import ChatSessionService
from app.chat.etags import ETAG, IfMatch, etag_header, expected
from app.chat.metadata import Metadata
from app.chat.session_rows import Listing, SessionRow
from app.edge.lanes import LaneName
from app.http.errors import Invalid
from app.http.exchange import Answer, response
from app.http.external_ids import LENGTH, PATTERN, ExternalIdInPath
from app.http.idempotency import Key, keyed
from app.http.openapi import problems
from app.http.paging import AfterEither, Limit, cursor_of, place_after, recent_after
from app.http.parameters import PREFIX, sent_under
from app.http.routes import delete, get, patch, post, put
from app.http.security import Principal, reads_chat, writes_chat
from app.http.words import explain

Call = Request[Principal, Any, Any]
ExternalIdInQuery = Annotated[
    str | None,
    QueryParameter(
        min_length=1,
        max_length=LENGTH,
        pattern=PATTERN,
        description="Only the conversation of this id of yours.",
    ),
]
PAIR = "metadata."  # before a key, as the name of a parameter
ONE_FILTER = "Filter by one pair, or by an external id; leave the others out."
MADE = ResponseSpec(schemas.ChatSession, description="Opened.")
Order = Annotated[
    Literal["created", "recent"],
    QueryParameter(
        title="SessionOrder",
        description="By their creation, or by their last change: the last one first.",
    ),
]


class ChatSessionController(Controller):
    path = "/chat-sessions"
    tags = ["chat"]
    opt = {"lane": LaneName.CHAT}

    @post("/", guards=[writes_chat], responses=problems(409), response_headers=[ETAG])
    async def create_chat_session(
        self,
        request: Call,
        data: JSONBody[schemas.NewChatSession | None] = None,
        idempotency_key: Key = None,
    ) -> Response[schemas.ChatSession]:
        """Open a conversation.

        It is yours alone. A title may be given, now or later; so may metadata, an id of your own by
        which you find it again, and a time at which it expires.
        """
        sent = await keyed(request, idempotency_key) if idempotency_key else None
        new = data or schemas.NewChatSession()
        return _made(await _sessions(request).open(request.user, new, sent))

    @get("/", guards=[reads_chat], opt={PREFIX: PAIR})
    async def list_chat_sessions(
        self,
        request: Call,
        limit: Limit = 50,
        after: AfterEither = None,
        order: Order = "created",
        external_id: ExternalIdInQuery = None,
    ) -> schemas.ChatSessionPage:
        """List your conversations, newest first.

        Or, with `order=recent`, the one changed last first; one that changes meanwhile may then be
        missed. They come in pages of at most `limit`; take `next` of one page as `after` for the
        following. `metadata.KEY=VALUE` lists those whose metadata have this pair.
        """
        listing = Listing(order == "recent", external_id, _pair(request, external_id))
        this = _list_of(request, listing)
        start = recent_after(after, *this) if listing.is_recent else place_after(after, *this)
        rows = await _sessions(request).page(request.user, listing, limit=limit, after=start)
        page = rows[:limit]
        items = [one.to(schemas.ChatSession) for one in page if listing.has(one)]
        following = cursor_of(listing.place_of(page[-1]), *this) if len(rows) > limit else None
        return schemas.ChatSessionPage(items, following)

    @get(
        "/{session_id:uuid}", guards=[reads_chat], responses=problems(404), response_headers=[ETAG]
    )
    async def get_chat_session(
        self, request: Call, session_id: FromPath[UUID]
    ) -> Response[schemas.ChatSession]:
        """Read a conversation.

        Its title, its metadata, its times and how many messages it has; the messages have a list of
        their own.
        """
        return _shown(await _sessions(request).get(request.user, session_id))

    @patch(
        "/{session_id:uuid}",
        guards=[writes_chat],
        responses=problems(404, 409, 412),
        response_headers=[ETAG],
    )
    async def change_chat_session(
        self,
        request: Call,
        session_id: FromPath[UUID],
        data: JSONBody[schemas.ChatSessionChange],
        if_match: IfMatch = None,
    ) -> Response[schemas.ChatSession]:
        """Change a conversation's title, metadata, external id or expiry.

        What is left out stays; null takes metadata, an external id or an expiry away. Metadata are
        replaced as a whole.
        """
        state = expected(request, if_match)
        return _shown(await _sessions(request).change(request.user, session_id, data, state))

    @delete("/{session_id:uuid}", guards=[writes_chat], responses=problems(404, 409, 412))
    async def delete_chat_session(
        self, request: Call, session_id: FromPath[UUID], if_match: IfMatch = None
    ) -> None:
        """Delete a conversation.

        Its messages go with it, in the same transaction. There is no way back.
        """
        state = expected(request, if_match)
        await _sessions(request).delete(request.user, session_id, state)

    @put(
        "/by-external-id/{external_id:str}",
        guards=[writes_chat],
        responses={201: MADE} | problems(404),
        response_headers=[ETAG],
    )
    async def put_chat_session(
        self,
        request: Call,
        external_id: ExternalIdInPath,
        data: JSONBody[schemas.NamedChatSession | None] = None,
    ) -> Response[schemas.ChatSession]:
        """Find your conversation by an id of your own, or open it.

        It may be sent again, and by many at a time: there is one conversation, and what is there
        already is not changed by what is sent.
        """
        new = data or schemas.NamedChatSession()
        session, is_new = await _sessions(request).find_or_open(request.user, external_id, new)
        return _shown(session, 201 if is_new else 200)

    @post(
        "/{session_id:uuid}/fork",
        guards=[writes_chat],
        responses=problems(404, 409, 413),
        response_headers=[ETAG],
    )
    async def fork_chat_session(
        self,
        request: Call,
        session_id: FromPath[UUID],
        data: JSONBody[schemas.Fork | None] = None,
        idempotency_key: Key = None,
    ) -> Response[schemas.ChatSession]:
        """Copy a conversation, to go on from one of its messages.

        The copy has the messages up to `position`, or all, at their positions and with their times,
        under new ids: at most 10,000 messages and 64 MiB. It has the title and the metadata, but
        neither the external id nor the expiry.
        """
        sent = await keyed(request, idempotency_key) if idempotency_key else None
        position = data.position if data else None
        return _made(await _sessions(request).fork(request.user, session_id, position, sent))


# A function, and no dependency: Litestar's resolving one costs a tenth of the fastest routes.
def _sessions(request: Call) -> ChatSessionService:
    return ChatSessionService(request.app.state.databases.general, request.app.state.writes)


def _list_of(request: Call, listing: Listing) -> tuple[object, ...]:
    """Name the list, so that its cursors are known from others'."""
    whole = ("chat-sessions", request.user.user_id)
    return whole if listing == Listing() else (*whole, *listing)


def _pair(request: Call, external_id: str | None) -> tuple[str, str] | None:
    """Read the one pair of metadata that the list is filtered by. Raises Invalid."""
    pairs = sent_under(request, PAIR)
    if not pairs:
        return None
    key, value = pairs[0]
    if len(pairs) > 1 or external_id is not None:
        raise Invalid.field(PAIR + pairs[-1][0], ONE_FILTER)
    try:
        convert({key: value}, Metadata)
    except ValidationError as error:
        raise Invalid.field(PAIR + key, explain(str(error), Metadata).message) from None
    return key, value


def _shown(session: SessionRow, status: int = 200) -> Response[schemas.ChatSession]:
    shown = session.to(schemas.ChatSession)
    return Answer(shown, {"ETag": session.etag}, status)


def _made(session: schemas.ChatSession | bytes) -> Response[schemas.ChatSession]:
    """Answer with a new session, or with what was stored when it was new; that has no tag."""
    answer = response(session)
    if isinstance(session, schemas.ChatSession):
        answer.headers.update(etag_header(0, session.updated_at))
    return answer
