"""The application's plugin that holds the two SQLAlchemy configurations.

Advanced Alchemy has such a plugin for Litestar, too. Importing its package imports Alembic, Mako
and Pygments with it, which are 20 MB for each worker of a service that only its commands migrate.
And its sessions commit, if at all, after the handler's answer has begun (`autocommit`), where a
COMMIT that fails is logged and the client has its 201.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast
from uuid import UUID

from litestar import Litestar, Request
from litestar.config.app import AppConfig
from litestar.di import Provide
from litestar.plugins import InitPlugin

from app.config.settings import Settings
from app.databases.config import DatabaseConfig
from app.databases.database import Database, Databases
from app.databases.sessions import GeneralSession, S, UserSession


class DatabasesPlugin(InitPlugin):
    """Registers engines, session makers and typed sessions, and closes the connections at the end.

    A handler takes one of the sessions, never both: of two generator dependencies in a request,
    Litestar would lose the second's error, and COMMIT's with it.
    """

    def __init__(
        self,
        settings: Settings,
        user: DatabaseConfig[UserSession],
        general: DatabaseConfig[GeneralSession],
    ) -> None:
        self.configs = (user, general)
        self.databases = Databases.opened(settings, user, general)

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        user, general = self.configs
        self._register(app_config, user, self.databases.user)
        self._register(app_config, general, self.databases.general)
        app_config.state.databases = self.databases
        # First, so that whatever uses the connections ends before they are closed.
        app_config.lifespan.insert(0, self._connected)  # pyright: ignore[reportUnknownMemberType]  # Litestar leaves its type open
        return app_config

    def _register(
        self, app_config: AppConfig, config: DatabaseConfig[S], database: Database[S]
    ) -> None:
        app_config.state[config.engine_app_state_key] = database.engine
        app_config.state[config.session_maker_app_state_key] = database.maker
        session = Provide(_session_of(database))
        app_config.dependencies = {
            **(app_config.dependencies or {}),
            config.session_dependency_key: session,
        }

    @asynccontextmanager
    async def _connected(self, app: Litestar) -> AsyncGenerator[None]:
        await self.databases.check()
        try:
            yield
        finally:
            await self.databases.dispose()


def _session_of(
    database: Database[S],
) -> Callable[[Request[Any, Any, Any]], AsyncGenerator[S]]:
    """A request's session. It commits when the handler has returned, before the answer starts."""

    async def session_of(request: Request[Any, Any, Any]) -> AsyncGenerator[S]:
        async with database.session(_tenant_of(request)) as session:
            yield session

    return session_of


def _tenant_of(request: Request[Any, Any, Any]) -> UUID | None:
    scope: dict[str, Any] = cast("dict[str, Any]", request.scope)
    principal = scope.get("user")  # there is none before login
    return None if principal is None else principal.tenant_id
