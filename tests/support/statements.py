"""The statements that the service sent to the general database: its server kept their texts.

So nothing of the service is touched, and what another process of it sends is seen as well.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import cache

import asyncpg

from app.commands.embedded.cluster import Server
from tests.support import citus
from tests.support.servers import run
from tests.support.tenant_lint import of_statement
from tests.support.tenant_scope import Violation

# Citus would have to be the first.
PRELOAD = (
    f"ALTER SYSTEM SET shared_preload_libraries = {'citus, ' * citus.IS_WANTED}pg_stat_statements"
)
SENT = """
SELECT DISTINCT query FROM pg_stat_statements s
JOIN pg_database d ON d.oid = s.dbid JOIN pg_roles r ON r.oid = s.userid
WHERE s.toplevel AND d.datname = $1
AND r.rolname IN ('bicameral_app', 'bicameral_relay')
"""
FORGET = "SELECT pg_stat_statements_reset(0, oid, 0) FROM pg_database WHERE datname = $1"
# asyncpg turns just-in-time compilation off for as long as it looks a type up.
BY_THE_DRIVER = {"SELECT current_setting($1) AS cur, set_config($2, $3, $4) AS new"}


async def record(server: Server) -> None:
    """Let the server keep the statements from now on; it is started again for that."""
    await run(server, PRELOAD)
    server.stop()
    server.start()
    await run(server, "CREATE EXTENSION pg_stat_statements")


async def sent(server: Server, database: str) -> list[str]:
    """Give each statement once, with $n for its constants, and forget them."""
    connection = await asyncpg.connect(server.url())  # a test may have shut its own
    try:
        queries = [str(row["query"]) for row in await connection.fetch(SENT, database)]
        await connection.fetch(FORGET, database)
    finally:
        await connection.close()
    return queries


@asynccontextmanager
async def held_to_one_tenant(server: Server, database: str) -> AsyncGenerator[None]:
    """Whatever the service sends meanwhile keeps the rules of tests/support/tenant_lint.py."""
    yield
    found = {query: violations(query) for query in await sent(server, database)}
    broken = [f"{what}\n{query}" for query, what in found.items() if what]
    assert not broken, "\n\n".join(broken)


@cache
def violations(query: str) -> list[Violation]:
    return [] if " ".join(query.split()) in BY_THE_DRIVER else of_statement(query)
