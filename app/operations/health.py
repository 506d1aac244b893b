"""Liveness, readiness and health are told within two seconds, by a look a second old at most."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import asyncpg
import msgspec
from litestar import Controller, Request, Response, get
from litestar.datastructures import State
from litestar.openapi import ResponseSpec
from litestar.response.base import ASGIResponse
from msgspec import Meta, Struct

from app.config.paths import ROOT
from app.config.settings import Settings, SettingsError
from app.databases.connection import DATABASES, DatabaseName, TenantConnection
from app.databases.database import Databases
from app.databases.opening import open_connection
from app.databases.timeouts import awake_timeout
from app.http.errors import RETRY_AFTER_SECONDS
from app.http.security import PUBLIC
from app.operations.shared import Shared

T = TypeVar("T")
Status = Annotated[Literal["healthy", "unhealthy"], Meta(title="HealthStatus")]
Connected = Annotated[Literal["connected", "disconnected"], Meta(title="Connection")]
AtHead = Annotated[Literal["at head", "behind", "unknown"], Meta(title="MigrationState")]
REVISION = "SELECT version_num FROM alembic_version"
# On for a standby, and after a fail-over or an operator's ALTER DATABASE for the primary, too.
IS_READ_ONLY = "SELECT current_setting('transaction_read_only') = 'on'"
# Each revision names the one that it follows, and a merge names several; none names the newest.
FOLLOWS = re.compile(r"(?m)^down_revision\b[^=]*=\s*(\([^)]*\)|[^#\n]*)")
QUOTED = re.compile(r"""["']([^"']+)["']""")


class Live(Struct, frozen=True):
    status: Literal["alive"] = "alive"


class Connections(Struct, frozen=True):
    user: Connected
    general: Connected


class Migrations(Struct, frozen=True):
    user: AtHead
    general: AtHead


class Health(Struct, frozen=True, omit_defaults=True):
    status: Status
    database: Connected
    databases: Connections
    timestamp: datetime
    error: str | None = None


class Ready(Health, frozen=True, kw_only=True, omit_defaults=True):
    migrations: Migrations


class Seen(NamedTuple):
    """A database's answer: its revision ('' when it has none), and whether it takes no writes."""

    revision: str
    is_read_only: bool


class Look(NamedTuple):
    """Keeps what both databases answered, and when they were asked; None for one that is away."""

    at: datetime
    seen: dict[DatabaseName, Seen | None]


# Encoded once: everybody gets the same bytes.
ALIVE = ASGIResponse(body=msgspec.json.encode(Live()))


class HealthController(Controller):
    path = "/health"
    tags = ["health"]

    @get(
        "/live",
        security=PUBLIC,
        responses={200: ResponseSpec(Live, description="The process is alive.")},
    )
    async def get_live(self) -> ASGIResponse:
        """Is the process alive?

        Touches no database. Restart the process if this does not answer.
        """
        return ALIVE

    @get(
        "/",
        security=PUBLIC,
        responses={503: ResponseSpec(Health, description="A database is away.")},
    )
    async def get_health(self, request: Request[Any, Any, Any]) -> Response[Health]:
        """Are both databases there?

        503 if one is away, and `databases` tells which.
        """
        health = Health(**_summary(await _look(request.app.state)))
        return _answer(health, is_good=health.status == "healthy")

    @get(
        "/ready",
        security=PUBLIC,
        responses={503: ResponseSpec(Ready, description="Not now.")},
    )
    async def get_ready(self, request: Request[Any, Any, Any]) -> Response[Ready]:
        """May requests be sent here?

        Only if both databases are there, take writes, and are migrated as far as this code
        expects; else 503.
        """
        look = await _look(request.app.state)
        states: dict[str, AtHead] = {name: _compare(name, seen) for name, seen in look.seen.items()}
        summary = _summary(look)
        if reason := _reason_to_stay_away(request.app.state, look):
            summary |= {"status": "unhealthy", "error": reason}
        ready = Ready(**summary, migrations=Migrations(**states))
        good = ready.status == "healthy" and set(states.values()) == {"at head"}
        return _answer(ready, is_good=good)


def _answer(health: T, *, is_good: bool) -> Response[T]:
    if is_good:
        return Response(health)
    return Response(health, status_code=503, headers={"Retry-After": str(RETRY_AFTER_SECONDS)})


def _reason_to_stay_away(state: State, look: Look) -> str | None:
    if state.gate.stopping.is_set():
        return "this process is stopping"
    read_only = [name for name, seen in look.seen.items() if seen and seen.is_read_only]
    return f"takes no writes: {', '.join(read_only)} database" if read_only else None


async def _look(state: State) -> Look:
    """Look at both databases, or share the look of a moment ago.

    One that fell silent is away for as long as its requests are refused for that, see breaker.py.
    """
    look: Look = await state.look.get()
    silent = {one.name for one in (state.databases.user, state.databases.general) if one.is_silent}
    seen: dict[DatabaseName, Seen | None] = {
        name: None if name in silent else one for name, one in look.seen.items()
    }
    return Look(look.at, seen)


def looking(settings: Settings, databases: Databases) -> Shared[Look]:
    """Share one look at both databases among all who ask."""

    async def look() -> Look:
        at = datetime.now(UTC)
        found = await asyncio.gather(*(_seen(settings, databases, name) for name in DATABASES))
        return Look(at, dict(zip(DATABASES, found, strict=True)))

    return Shared(look)


async def _seen(settings: Settings, databases: Databases, name: DatabaseName) -> Seen | None:
    """Ask on a new connection: the pool's may all be waiting on a server that hangs."""
    try:
        async with awake_timeout(settings.health_timeout_seconds):
            connection = await open_connection(settings, name)
            try:
                is_read_only = bool(await connection.fetchval(IS_READ_ONLY))
                seen = Seen(await _revision(connection), is_read_only)
            finally:
                connection.terminate()
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, SettingsError) as error:
        databases.note_away(name, error)
        return None
    databases.note_there(name)
    return seen


async def _revision(connection: TenantConnection) -> str:
    try:
        return await connection.fetchval(REVISION) or ""
    except asyncpg.UndefinedTableError:
        return ""


def _summary(look: Look) -> dict[str, Any]:
    away = [name for name, seen in look.seen.items() if seen is None]
    found: dict[str, Connected] = {
        name: "disconnected" if name in away else "connected" for name in look.seen
    }
    return {
        "status": "unhealthy" if away else "healthy",
        "database": "disconnected" if away else "connected",
        "databases": Connections(**found),
        "error": f"not reachable: {', '.join(away)} database" if away else None,
        "timestamp": look.at,
    }


def _compare(name: DatabaseName, seen: Seen | None) -> AtHead:
    """Take a revision that is not in our folder for a newer one: migrations only expand."""
    if seen is None:
        return "unknown"
    return "behind" if seen.revision in before_head(name) else "at head"


@cache
def before_head(name: DatabaseName) -> frozenset[str]:
    """Return all revisions but the newest; '' stands for a database that was never migrated."""
    return frozenset({"", *followed(ROOT / "migrations" / name)})


def followed(revisions: Path) -> set[str]:
    """Return every revision that another one in this folder follows.

    They are read as text: Alembic, which else only commands import, would cost a worker 15 MB.
    """
    texts = [file.read_text("utf-8") for file in revisions.glob("*.py")]
    return {one for text in texts for line in FOLLOWS.findall(text) for one in QUOTED.findall(line)}
