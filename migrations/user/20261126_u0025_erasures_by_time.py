"""Erasures in the order of the database's clock: indexes and the platform's page for it.

The function that pages by id stays for the version before. Whatever fails here, the same upgrade
may be run again.
"""

from __future__ import annotations

from alembic import op

revision = "u0025"
down_revision = "u0023"
branch_labels = None
depends_on = None

OF_TENANT, BUILT = "idx_subject_ledger_deleted", "idx_subject_ledger_deleted_changed_at"
OF_ALL = "idx_subject_ledger_changed_at"
INDEXES = {
    BUILT: "subject_ledger (tenant_id, changed_at, user_id)",
    OF_ALL: "subject_ledger (changed_at, user_id)",
}
DELETED = "WHERE state = 'deleted'"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        for index, columns in INDEXES.items():
            # What an upgrade that failed has left, not valid.
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {index}")
            op.execute(f"CREATE INDEX CONCURRENTLY {index} ON {columns} {DELETED}")
    _swap(f"ALTER INDEX {BUILT} RENAME TO {OF_TENANT}")
    op.execute(ERASURES)


def downgrade() -> None:
    op.execute("DROP FUNCTION platform_erasures_by_time(timestamptz, uuid, timestamptz, integer)")
    _swap(f"CREATE INDEX {OF_TENANT} ON subject_ledger (tenant_id, user_id) {DELETED}")
    op.execute(f"DROP INDEX {OF_ALL}")


def _swap(statement: str) -> None:
    """The version before pages by the primary key meanwhile. The table is locked for a moment."""
    op.execute(f"-- squawk-ignore require-concurrent-index-deletion\nDROP INDEX {OF_TENANT}")
    op.execute(f"-- squawk-ignore renaming-object\n{statement}")


ERASURES = """
CREATE FUNCTION platform_erasures_by_time(
    after_at timestamptz, after_id uuid, made_at timestamptz, page integer
) RETURNS SETOF subject_ledger
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT l.* FROM subject_ledger l
    WHERE l.state = 'deleted' AND (l.changed_at, l.user_id) > (
        coalesce(after_at,
                 (SELECT last.changed_at FROM subject_ledger last
                  WHERE last.user_id = after_id AND last.state = 'deleted'),
                 made_at, '-infinity'),
        coalesce(after_id, '00000000-0000-0000-0000-000000000000'))
    ORDER BY l.changed_at, l.user_id LIMIT page
$$
"""
