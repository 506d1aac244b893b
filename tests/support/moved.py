"""Another general database, empty, beside a test's own: conversations are moved there."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg

from app.commands.dev import create_database
from app.config.settings import Settings
from tests.support import pgbouncer, statements
from tests.support.commands import Ended, litestar, urls
from tests.support.logins import superuser
from tests.support.opened import Opener
from tests.support.servers import TEMPLATE, Servers, copied_to, run, settings_for


class Target(NamedTuple):
    """The databases before and after a move; the user database is the same."""

    servers: Servers
    database: str
    name: str

    @property
    def env(self) -> dict[str, str]:
        url = pgbouncer.url(self.servers.general, self.name)
        return urls(self.servers, self.database) | {"DATABASE_URL_GENERAL": url}

    @property
    def owners(self) -> dict[str, str]:
        """The URLs that migrate it."""
        return {
            "DATABASE_URL_USER_OWNER": self.servers.user.url(self.database, "bicameral_owner"),
            "DATABASE_URL_GENERAL_OWNER": self.servers.general.url(self.name, "bicameral_owner"),
        }

    async def make_anew(self) -> None:
        """Make the database as an operator does, with its logins and without tables."""
        await run(self.servers.general, f"DROP DATABASE {self.name} WITH (FORCE)")
        await create_database(self.servers.general, self.name)

    @property
    def settings(self) -> Settings:
        return self.settings_with()

    def settings_with(self, **others: object) -> Settings:
        url = pgbouncer.url(self.servers.general, self.name)
        owner = self.servers.general.url(self.name, "bicameral_owner")
        more = {"database_url_general": url, "database_url_general_owner": owner}
        return settings_for(self.servers, self.database, **more, **others)

    async def export(self, file: Path, *words: str) -> Ended:
        env = urls(self.servers, self.database)
        return await litestar("export", *words, str(file), env=env)

    async def import_(self, file: Path | str, *words: str, stdin: bytes = b"") -> Ended:
        return await litestar("import", str(file), *words, env=self.env, stdin=stdin)

    async def rows(self, table: str, *, before: bool = False) -> list[str]:
        """Every row of a table, as text; `before`: of the database before the move."""
        database = self.database if before else self.name
        connection = await asyncpg.connect(self.servers.general.url(database))
        try:
            return [row[0] for row in await connection.fetch(SELECT[table])]
        finally:
            await connection.close()

    async def said(self, table: str, *, before: bool = False) -> list[dict[str, Any]]:
        """Every row of sessions or messages, opened: each is sealed anew where it is stored."""
        database = self.database if before else self.name
        async with (
            superuser(self.servers.user.url(self.database)) as user,
            superuser(self.servers.general.url(database)) as general,
        ):
            opener = await Opener.of(user, general)
            rows = await (opener.messages() if table == "messages" else opener.sessions())
        opened: list[dict[str, Any]] = [vars(row) for row in rows]
        said = [{k: v for k, v in row.items() if not k.startswith("sealed")} for row in opened]
        return sorted(said, key=lambda row: row["id"])

    async def run(self, statement: str) -> None:
        await run(self.servers.general, statement, self.name)


SELECT = {
    "keys": "SELECT (user_id, key_id)::text FROM owners WHERE key_id IS NOT NULL ORDER BY 1",
    "chat_sessions": "SELECT t::text FROM chat_sessions t ORDER BY id",
    "messages": "SELECT t::text FROM messages t ORDER BY id",
    "owners": "SELECT (tenant_id, user_id, state, held)::text FROM owners t ORDER BY 1",
}


@asynccontextmanager
async def empty_general(servers: Servers, database: str) -> AsyncGenerator[Target]:
    name = f"{database}_moved"
    async with (
        copied_to((servers.general,), TEMPLATE, name),
        statements.held_to_one_tenant(servers.general, name),
    ):
        yield Target(servers, database, name)
