"""The application: wiring only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, nullcontext
from importlib.metadata import version
from typing import Any

from litestar import Litestar, Router
from litestar.datastructures import State
from litestar.di import Provide
from litestar.plugins import PluginProtocol

from app.accounts.api.api_keys import ApiKeyController
from app.accounts.api.audit import AuditController
from app.accounts.api.auth import AuthController
from app.accounts.api.holds import HoldController
from app.accounts.api.me import MeController
from app.accounts.api.tenants import TenantController
from app.accounts.api.tokens import TokenController
from app.accounts.api.users import UserController
from app.accounts.digests import Digester
from app.accounts.passwords import Passwords
from app.accounts.tokens import CredentialLookup
from app.bridge.erasure.api import ErasureController
from app.bridge.erasure.relay import running
from app.bridge.export.api import ExportController
from app.bridge.sealing.keys import Keys
from app.chat.api.edits import MessageEditController
from app.chat.api.messages import MessageController
from app.chat.api.sessions import ChatSessionController
from app.chat.openai.api import ConversationController, ItemController
from app.chat.writes import Writes
from app.config.settings import Settings, SettingsError
from app.databases.config import database_config
from app.databases.database import Databases
from app.databases.plugin import DatabasesPlugin
from app.databases.sealing.sealing import Sealing
from app.databases.sessions import GeneralSession, UserSession
from app.edge.draining import delayed_stop
from app.edge.forwarded import behind_proxies
from app.edge.gate import Gate
from app.http.cors import cors_config, explain_refusals
from app.http.document.texts import TextsPlugin
from app.http.exchange import (
    JsonRequest,
    check_request,
    finishing,
    with_whole_segments,
)
from app.http.explorer.page import lead_to_explorer
from app.http.logs_plugin import logs_plugin
from app.http.methods import MethodsPlugin
from app.http.openapi import openapi_config
from app.http.parameters import note_parameters
from app.http.problems import problem_response
from app.operations.health import HealthController, looking
from app.operations.metrics import figures, on_the_services_port, on_their_own_port
from app.telemetry.logs import use_format
from app.telemetry.pools import watching
from app.telemetry.requests import observe_requests
from app.telemetry.traces import close_traces, configure_traces


def create_app(settings: Settings, plugins: Sequence[PluginProtocol] = ()) -> Litestar:
    """The service on these settings. Nothing connects before the first request or the start."""
    use_format(settings.log_format)
    configure_traces()
    sqlalchemy = DatabasesPlugin(
        settings,
        user=database_config(settings, bind_key="user", session_class=UserSession),
        general=database_config(settings, bind_key="general", session_class=GeneralSession),
    )
    databases = sqlalchemy.databases
    passwords = Passwords(settings)
    keys = Keys(settings, databases)
    tokens = CredentialLookup(databases.user, settings)
    gate = Gate(settings, tokens.principal)
    app = Litestar(
        route_handlers=[
            _v1(databases, passwords),
            HealthController,
            lead_to_explorer,
            *on_the_services_port(settings),
        ],
        state=State(
            {
                "settings": settings,
                "passwords": passwords,
                "digester": Digester(databases.user, settings),
                "gate": gate,
                "look": looking(settings, databases),
                "figures": figures(settings, databases),
                "writes": _writes(settings, databases, tokens, keys.sealing),
                "sealing": keys.sealing,
            }
        ),
        plugins=[sqlalchemy, logs_plugin(), MethodsPlugin(), TextsPlugin(), *plugins],
        lifespan=[_lifespan(settings, databases, passwords, keys)],
        exception_handlers={Exception: problem_response},
        before_request=check_request,
        middleware=[gate.around],
        cors_config=cors_config(settings),
        request_class=JsonRequest,
        request_max_body_size=None,  # the gate has the limit
        openapi_config=openapi_config(version("bicameral"), settings.root_path),
    )
    _check_root_path(settings, app)
    note_parameters(app)
    handler = explain_refusals(app.asgi_handler) if app.cors_config else app.asgi_handler
    # Not as a hook of Litestar's, which would cost each message of each answer another coroutine.
    finish = finishing(settings, gate.stopping.is_set)
    handler = observe_requests(handler, finish, gate.pause_seconds)
    app.asgi_handler = with_whole_segments(behind_proxies(handler, settings))
    return app


def _writes(
    settings: Settings, databases: Databases, tokens: CredentialLookup, sealing: Sealing
) -> Writes:
    return Writes(
        databases.general,
        tokens.again,
        sealing,
        answers_kept_seconds=settings.idempotency_kept_seconds,
        turn_seconds=settings.db_lock_timeout_seconds,
    )


def _check_root_path(settings: Settings, app: Litestar) -> None:
    """Raises SettingsError where a path could be the service's own or one under the prefix."""
    first = settings.root_path.split("/")[1:2]
    if first and any(route.path.split("/")[1] == first[0] for route in app.routes):
        raise SettingsError(f"ROOT_PATH: paths of the service begin with /{first[0]}, too")


def _v1(databases: Databases, passwords: Passwords) -> Router:
    return Router(
        "/v1",
        route_handlers=[
            AuthController,
            MeController,
            TenantController,
            UserController,
            HoldController,
            TokenController,
            ApiKeyController,
            ChatSessionController,
            MessageController,
            MessageEditController,
            ConversationController,
            ItemController,
            ErasureController,
            ExportController,
            AuditController,
        ],
        dependencies={
            "passwords": Provide(lambda: passwords, sync_to_thread=False),
        },
    )


def _lifespan(settings: Settings, databases: Databases, passwords: Passwords, keys: Keys) -> Any:
    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncGenerator[None]:
        await keys.check()
        try:
            with delayed_stop(app.state.gate.stopping.set, settings.request_drain_seconds):
                async with (
                    watching("service", databases.usages),
                    on_their_own_port(settings, databases),
                    running(settings) if settings.relay else nullcontext(),
                ):
                    yield
        finally:
            passwords.close()
            await asyncio.to_thread(close_traces)

    return lifespan
