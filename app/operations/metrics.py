"""Serves `GET /metrics` to Prometheus, on the service's port, on one of its own, or nowhere.

The backlogs of erasures and holds are asked of the user database; all other figures are in memory.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import uvicorn
from litestar import Litestar, Request, Response, get
from litestar.datastructures import State
from litestar.handlers import HTTPRouteHandler
from prometheus_client import CONTENT_TYPE_LATEST

from app.bridge.erasure.ledger import Ledger
from app.bridge.erasure.metrics import show
from app.bridge.holds import metrics as hold_metrics
from app.bridge.holds.outbox import Outbox
from app.config.settings import Settings, SettingsError
from app.databases.database import Databases
from app.http.problems import problem_response
from app.http.security import PUBLIC
from app.operations.shared import Shared
from app.telemetry.metrics import MADE_AT, render
from app.telemetry.pools import sample

STOP_SECONDS = 1


@get("/metrics", security=PUBLIC, include_in_schema=False)
async def get_metrics(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Answer Prometheus. A proxy should close this route to the public."""
    return Response(await request.app.state.figures.get(), media_type=CONTENT_TYPE_LATEST)


def figures(settings: Settings, databases: Databases) -> Shared[bytes]:
    """Share all figures as one text among all who ask."""

    async def made() -> bytes:
        MADE_AT.set_to_current_time()
        try:
            async with asyncio.timeout(settings.health_timeout_seconds):
                show(await Ledger(databases.user, settings).backlog())
                hold_metrics.show(await Outbox(databases.user).backlog())
        except Exception:  # noqa: BLE001  with the database away the other figures matter most
            show(None)
            hold_metrics.show(None)
        sample()
        # Many workers' figures take some milliseconds to add up; other requests need not wait.
        return await asyncio.to_thread(render)

    return Shared(made)


def on_the_services_port(settings: Settings) -> list[HTTPRouteHandler]:
    return [get_metrics] if settings.metrics and not settings.metrics_port else []


def own_port(settings: Settings) -> int:
    """Return the port that metrics have for themselves, or 0."""
    return settings.metrics_port if settings.metrics else 0


@asynccontextmanager
async def on_their_own_port(settings: Settings, databases: Databases) -> AsyncGenerator[None]:
    """Serve metrics on METRICS_PORT beside what else this process does, if it is set."""
    if not own_port(settings):
        yield
        return
    app = Litestar(
        [get_metrics],
        state=State({"figures": figures(settings, databases)}),
        exception_handlers={Exception: problem_response},
        openapi_config=None,
        logging_config=None,
    )
    config = uvicorn.Config(
        app, lifespan="off", log_config=None, access_log=False, server_header=False
    )
    server = _Beside(config)
    task = asyncio.create_task(server.serve([listen(settings, shared=True)]), name="metrics")
    try:
        yield
    finally:
        server.should_exit = True
        await asyncio.wait({task}, timeout=STOP_SECONDS)
        task.cancel()


class _Beside(uvicorn.Server):
    """A server beside another one, which alone handles the process's signals."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


def listen(settings: Settings, *, shared: bool) -> socket.socket:
    """Listen on the metrics' port; shared, every worker does, and each adds up all figures.

    Raises SettingsError, one line, where that is not possible.
    """
    host, port = settings.metrics_host, settings.metrics_port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, reuse_port=shared)
    except (OSError, UnicodeError) as error:
        words = getattr(error, "strerror", None) or "no name of a host"
        raise SettingsError(
            f"METRICS_PORT: cannot listen on {host} port {port}: {words}; choose another"
        ) from None
