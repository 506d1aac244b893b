"""The general database on Citus: which tables are distributed by tenant, and by which statements.

No list names the tables: every one with a `tenant_id` is distributed, but for those of LOCAL. So a
table that a later revision makes cannot be forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable
from graphlib import TopologicalSorter
from typing import NamedTuple

ANCHOR = "owners"  # the others' shards are kept beside its own
LOCAL = {"erasure_receipts": "it is one chain through all tenants, whose end is read to append"}

# Of the database: without it Citus keeps SET LOCAL from its workers, where row level security then
# shows nothing.
PROPAGATES_SET = ("citus.propagate_set_commands", "local")
# Of the tables' owner: the first is needed to distribute or alter a table with triggers, the second
# for a revision that changes several tables which refer to each other.
OWNER_SETTINGS = {
    "citus.enable_unsafe_triggers": "on",
    "citus.multi_shard_modify_mode": "sequential",
}

IS_THERE = "SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'citus')"
# A shard is a table as well; Citus hides those of a node that has some.
_TABLES = """
SELECT c.relname::text AS name, {is_distributed} AS is_distributed,
       ARRAY(SELECT DISTINCT r.relname::text
             FROM pg_constraint f JOIN pg_class r ON r.oid = f.confrelid
             WHERE f.conrelid = c.oid AND f.contype = 'f' AND r.oid <> c.oid
             ORDER BY 1) AS refers_to
FROM pg_class c
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
ORDER BY c.relname
"""
_IN_CITUS = """
EXISTS (SELECT FROM pg_dist_partition p WHERE p.logicalrelid = c.oid AND p.partmethod = 'h')
""".strip()
TABLES = _TABLES.format(is_distributed=_IN_CITUS)
TABLES_BEFORE_CITUS = _TABLES.format(is_distributed="false")


class Table(NamedTuple):
    """A table with a tenant, and those that its foreign keys refer to."""

    name: str
    is_distributed: bool
    refers_to: list[str]


def propagate_set(database: str) -> str:
    """Give the statement with which a database gets PROPAGATES_SET."""
    name, value = PROPAGATES_SET
    return f"ALTER DATABASE {database} SET {name} = '{value}'"


def missing(tables: Iterable[Table]) -> list[str]:
    """List the tables that are still to be distributed, each after those it refers to."""
    known = {one.name: one for one in tables if one.name not in LOCAL}
    order = TopologicalSorter(
        {name: [to for to in one.refers_to if to in known] for name, one in known.items()}
    )
    return [name for name in order.static_order() if not known[name].is_distributed]


def distribute(table: str) -> str:
    """Give the statement that makes the table's shards, each with its tenants' other rows."""
    beside = "none" if table == ANCHOR else f"public.{ANCHOR}"
    return (
        f"SELECT create_distributed_table('public.{table}', 'tenant_id', "
        f"colocate_with => '{beside}')"
    )


def has_rows(table: str) -> str:
    return f"SELECT EXISTS (SELECT FROM public.{table})"  # noqa: S608  a name of the catalog's
