"""Upgrades on Citus also distribute new tables, and widen the rights to insert."""

from __future__ import annotations

from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.databases import citus

# Citus hands an INSERT on to a shard with every column that has a default.
WITH_DEFAULTS = """
SELECT format('GRANT INSERT (%s) ON public.%I TO %I',
              string_agg(quote_ident(d.attname), ', ' ORDER BY d.attnum), c.relname, r.rolname)
FROM pg_class c
JOIN pg_attribute d ON d.attrelid = c.oid AND d.atthasdef AND NOT d.attisdropped
CROSS JOIN LATERAL (
    SELECT DISTINCT x.grantee FROM pg_attribute a, aclexplode(a.attacl) AS x
    WHERE a.attrelid = c.oid AND x.privilege_type = 'INSERT') AS g
JOIN pg_roles r ON r.oid = g.grantee
WHERE c.relnamespace = 'public'::regnamespace
AND EXISTS (SELECT FROM pg_dist_partition p WHERE p.logicalrelid = c.oid AND p.partmethod = 'h')
GROUP BY c.relname, r.rolname
"""


def distribute_new(ctx: MigrationContext, *_: object, **__: object) -> None:
    """Distribute the tables of the revision that has just run, in its own transaction.

    Citus would leave them on the coordinator, and say nothing.
    """
    connection = ctx.connection
    if connection is None or ctx.as_sql or not connection.scalar(text(citus.IS_THERE)):
        return
    tables = [citus.Table(*row) for row in connection.execute(text(citus.TABLES))]
    if not any(table.is_distributed for table in tables):
        return  # `litestar distribute` will
    for name in citus.missing(tables):
        if connection.scalar(text(citus.has_rows(name))):
            raise CommandError(f"the table {name} has rows already, which Citus would leave behind")
        connection.exec_driver_sql(citus.distribute(name))


async def grant_defaults(connection: AsyncConnection) -> None:
    """Let whoever may insert into a distributed table name its columns with defaults, too."""
    if await connection.scalar(text(citus.IS_THERE)):
        for grant in await connection.scalars(text(WITH_DEFAULTS)):
            await connection.exec_driver_sql(grant)
