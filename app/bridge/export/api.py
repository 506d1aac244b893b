"""Exports over HTTP."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from litestar import Controller, Request
from litestar.di import NamedDependency, Provide
from litestar.openapi import ResponseSpec
from litestar.params import FromPath
from litestar.response import Stream

from app.accounts.api import services
from app.accounts.api.requests import Call
from app.accounts.audit import Audit
from app.accounts.tokens import CredentialLookup
from app.accounts.users import UserService
from app.bridge.export.lines import ExportLine
from app.bridge.export.service import Export, ExportService
from app.bridge.export.stream import WatchedStream
from app.databases.sessions import UserSession
from app.edge.lanes import LaneName
from app.http.openapi import problems
from app.http.routes import get
from app.http.security import Principal, Role, Scope, person, requires

exporters = requires(Role.TENANT_ADMIN, Role.ADMIN, scopes=[Scope.EXPORT])
NDJSON = "application/x-ndjson"
# A document has no word for lines: the schema is that of each of them.
LINES = {200: ResponseSpec(ExportLine, False, "Lines, each of them an `ExportLine`.", NDJSON)}


def exports(
    request: Request[Principal, Any, Any],
    users: NamedDependency[UserService],
    user_session: NamedDependency[UserSession],
) -> ExportService:
    """Provide the service with the databases: a session of theirs ends before the answer does."""
    state = request.app.state
    tokens = CredentialLookup(state.databases.user, state.settings)
    return ExportService(users, Audit(user_session), tokens, state.databases, state.sealing)


class ExportController(Controller):
    tags = ["export"]
    opt = {"lane": LaneName.EXPORTS}
    dependencies = {
        "users": services.users,
        "exports": Provide(exports, sync_to_thread=False),
    }

    @get("/me/export", guards=[person(Scope.EXPORT)], media_type=NDJSON, responses=LINES)
    async def export_me(self, request: Call, exports: NamedDependency[ExportService]) -> Stream:
        """Export all there is about you.

        NDJSON: each line is an object by itself, your account first, then audit events about you,
        your conversations, their messages, digests of the addresses that you logged in from, and
        the legal hold on you, if there is one. Read it as a stream; it may be long.
        """
        return _streamed(await exports.own(request.user))

    @get(
        "/users/{user_id:uuid}/export",
        guards=[exporters],
        media_type=NDJSON,
        responses=LINES | problems(403, 404),
    )
    async def export_user(
        self, request: Call, user_id: FromPath[UUID], exports: NamedDependency[ExportService]
    ) -> Stream:
        """Export all there is about a user.

        NDJSON: each line is an object by itself, the account first, then audit events about them,
        their conversations, their messages, digests of the addresses that they logged in from, and
        the legal hold on them, if there is one. Read it as a stream; it may be long.
        """
        return _streamed(await exports.of(request.user, user_id))


def _streamed(export: Export) -> Stream:
    return WatchedStream(export.lines, watch=export.permission.watch, media_type=NDJSON)
