"""The things of a database that somebody may have rights on, as its present revision has them."""

from __future__ import annotations

import re
from typing import NamedTuple

import sqlalchemy as sa

ROLE_EXISTS = sa.text("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = :role)")
QUOTED = sa.text("SELECT quote_ident(:role)")
COLUMNS = re.compile(r"\(([^)]*)\)")  # of a privilege
# The owner's own only: neither an extension's, nor what a superuser keeps here.
THINGS = sa.text("""
SELECT name, kind, quoted, ARRAY(
    SELECT attname::text FROM pg_attribute
    WHERE catalogue = 'pg_class'::regclass AND attrelid = things.oid AND NOT attisdropped)
FROM (
    SELECT relname, CASE relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, oid::regclass::text,
           'pg_class'::regclass, oid, relowner
    FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
    UNION ALL
    SELECT proname, 'ROUTINE', oid::regprocedure::text, 'pg_proc'::regclass, oid, proowner
    FROM pg_proc WHERE pronamespace = 'public'::regnamespace
) AS things (name, kind, quoted, catalogue, oid, owner)
WHERE pg_has_role(owner, 'USAGE')
AND NOT EXISTS (
    SELECT FROM pg_depend d
    WHERE d.classid = catalogue AND d.objid = things.oid AND d.deptype = 'e')
""")


class Thing(NamedTuple):
    """A table, view, sequence or function; `quoted` as SQL takes it, a function with its types."""

    name: str
    kind: str
    quoted: str
    columns: list[str]

    def there(self, wanted: str) -> str:
        """Leave out the columns that a privilege names and this revision does not have."""
        return COLUMNS.sub(lambda found: f"({', '.join(self._there(found[1]))})", wanted)

    def _there(self, columns: str) -> list[str]:
        return [one for one in columns.split(", ") if one in self.columns]
