"""Two PostgreSQL servers, and on them pairs of databases, migrated as shipped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import asyncpg
import click

from app.commands.dev import create_database
from app.commands.embedded.cluster import Server
from app.commands.embedded.pair import servers as embedded_servers
from app.commands.migrate import upgrade
from app.config.settings import Settings
from app.databases.connection import DATABASES

Servers = tuple[Server, Server]


class BenchmarkError(click.ClickException):
    """One plain line; the exit code is 1."""


# Rows are swept and statistics made between the measurements, never while one is taken.
CALM = (
    "ALTER SYSTEM SET autovacuum = off",
    "ALTER SYSTEM SET max_wal_size = '8GB'",
    "ALTER SYSTEM SET checkpoint_timeout = '1h'",
    "SELECT pg_reload_conf()",
)
# What was loaded is weeks old. The lock waits for requests that go on after wrk has hung up.
UNDO = """
LOCK TABLE chat_sessions IN EXCLUSIVE MODE;
WITH gone AS (
    DELETE FROM messages WHERE created_at > now() - interval '1 day' RETURNING tenant_id, session_id
), counted AS (
    SELECT tenant_id, session_id, count(*) AS messages FROM gone GROUP BY tenant_id, session_id
)
UPDATE chat_sessions AS session SET message_count = session.message_count - counted.messages
FROM counted WHERE session.tenant_id = counted.tenant_id AND session.id = counted.session_id
"""
SWEEP = ("VACUUM messages", "VACUUM chat_sessions", "CHECKPOINT")


@dataclass(frozen=True)
class Pair:
    """The two databases of one name, one on each server."""

    user: Server
    general: Server
    name: str

    def urls(self, login: str) -> tuple[str, str]:
        return self.user.url(self.name, login), self.general.url(self.name, login)

    def for_service(self) -> dict[str, str]:
        """The environment of `litestar run`: it is held by row level security, as anywhere."""
        names = ("DATABASE_URL_USER", "DATABASE_URL_GENERAL")
        relay = zip((f"{name}_RELAY" for name in names), self.urls("bicameral_relay"), strict=True)
        return dict(zip(names, self.urls("bicameral_app"), strict=True)) | dict(relay)

    def for_peer(self) -> dict[str, str]:
        return dict(zip(("USER_URL", "GENERAL_URL"), self.urls("postgres"), strict=True))

    def rest(self) -> None:
        """Before each measurement: no token and no API key is due to be touched.

        The service notes their use once a minute. Its peers do not, so here nobody does.
        """
        for table in ("access_tokens", "api_keys"):
            touch = f"UPDATE {table} SET last_used_at = now()"  # one of two names
            run(self.user, self.name, touch, f"VACUUM {table}")

    def undo(self) -> None:
        """After writing: as it was loaded, so that the next one finds the same."""
        run(self.general, self.name, UNDO, *SWEEP)


@contextmanager
def pair_of_servers() -> Generator[Servers]:
    """With PostgreSQL's own settings for durability: COMMIT waits for the disk."""
    with (
        TemporaryDirectory(prefix="bicameral-benchmarks-") as folder,
        embedded_servers(Path(folder), tcp=True, report=lambda _: None) as servers,
    ):
        for server in servers:
            run(server, "postgres", *CALM)
        yield servers


def new_pair(servers: Servers, name: str) -> Pair:
    for server in servers:
        asyncio.run(create_database(server, name))
    pair = Pair(*servers, name)
    values = {key.lower(): value for key, value in pair.for_service().items()}
    user, general = pair.urls("bicameral_owner")
    values |= {"database_url_user_owner": user, "database_url_general_owner": general}
    for database in DATABASES:
        upgrade(Settings.model_validate(values), database)
    return pair


@asynccontextmanager
async def connected(server: Server, name: str) -> AsyncGenerator[asyncpg.Connection]:
    """Connect as a superuser."""
    connection = await asyncpg.connect(server.url(name))
    try:
        yield connection
    finally:
        await connection.close()


def run(server: Server, name: str, *statements: str) -> None:
    async def execute() -> None:
        async with connected(server, name) as connection:
            for statement in statements:
                await connection.execute(statement)

    asyncio.run(execute())
