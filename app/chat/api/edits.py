"""Single messages of a chat session over HTTP, and its end: each its owner's only."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from litestar import Controller, Request, Response
from litestar.params import FromPath, JSONBody, QueryParameter

from app.chat import schemas
from app.chat.api.messages import check_message_sizes
from app.chat.edits import LAST_POSITION, DeletedMessages, EditService
from app.chat.etags import ETAG, IfMatch, expected
from app.chat.surrogates import decode_with_halves
from app.edge.lanes import LaneName
from app.http.exchange import OTHERWISE, response
from app.http.openapi import problems
from app.http.routes import delete, get, patch
from app.http.security import Principal, reads_chat, writes_chat

Call = Request[Principal, Any, Any]
Position = FromPath[int]
After = Annotated[
    int,
    QueryParameter(
        ge=0,
        le=LAST_POSITION,
        description="Every message past this position is deleted; 0 empties the conversation.",
    ),
]


class MessageEditController(Controller):
    path = "/chat-sessions/{session_id:uuid}/messages"
    tags = ["chat"]
    opt = {"lane": LaneName.CHAT, OTHERWISE: decode_with_halves}

    @get("/{position:int}", guards=[reads_chat], responses=problems(404), response_headers=[ETAG])
    async def get_message(
        self, request: Call, session_id: FromPath[UUID], position: Position
    ) -> Response[schemas.Message]:
        """Read one message.

        It is found by its position in the conversation.
        """
        found = await _edits(request).get(request.user, session_id, position)
        return response(found.message, {"ETag": found.etag})

    @patch(
        "/{position:int}",
        guards=[writes_chat],
        responses=problems(403, 404, 409, 412),
        response_headers=[ETAG],
    )
    async def edit_message(
        self,
        request: Call,
        session_id: FromPath[UUID],
        position: Position,
        data: JSONBody[schemas.MessageEdit],
        if_match: IfMatch = None,
    ) -> Response[schemas.Message]:
        """Edit a message.

        What is left out stays as it is. A reply that is still being written can be stored as
        `in_progress`, and edited as it grows: who reads it sees one of its versions, whole.
        """
        await check_message_sizes(request, [data])
        edited = await _edits(request).edit(
            request.user, session_id, position, data, expected(request, if_match)
        )
        return response(edited.message, {"ETag": edited.etag})

    @delete(
        "/{position:int}",
        guards=[writes_chat],
        responses=problems(404, 409, 412),
        response_headers=[ETAG],
    )
    async def delete_message(
        self,
        request: Call,
        session_id: FromPath[UUID],
        position: Position,
        if_match: IfMatch = None,
    ) -> Response[None]:
        """Delete a message.

        The others keep their positions, and its own is not given again.
        """
        state = expected(request, if_match)
        deleted = await _edits(request).delete(request.user, session_id, position, state)
        return Response(None, headers={"ETag": deleted.etag})

    @delete(
        "/",
        guards=[writes_chat],
        status_code=200,
        responses=problems(404, 409, 412),
        response_headers=[ETAG],
    )
    async def delete_messages(
        self,
        request: Call,
        session_id: FromPath[UUID],
        after: After,
        if_match: IfMatch = None,
    ) -> Response[DeletedMessages]:
        """Cut a conversation off.

        All messages past a position are deleted, or none; the conversation stays, and goes on at
        positions that were never given before.
        """
        state = expected(request, if_match)
        deleted = await _edits(request).delete_after(request.user, session_id, after, state)
        return response(DeletedMessages(deleted.messages), {"ETag": deleted.etag})


# A function, and no dependency: Litestar's resolving one costs a tenth of the fastest routes.
def _edits(request: Call) -> EditService:
    return EditService(request.app.state.databases.general, request.app.state.writes)
