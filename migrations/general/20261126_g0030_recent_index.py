"""The index of recent order serves that order only: it has every row, and a WHERE that says so.

Without it PostgreSQL took the index, which is the smallest of those that begin with the owner, for
finding one session by its id, and read all of the owner's to find it.
"""

from __future__ import annotations

from alembic import op

revision = "g0030"
down_revision = "g0029"
branch_labels = None
depends_on = None

INDEX = "idx_chat_sessions_changed_minute"
COLUMNS = "chat_sessions (tenant_id, user_id, changed_minute)"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {INDEX}_new")  # an upgrade's that failed
        op.execute(
            f"CREATE INDEX CONCURRENTLY {INDEX}_new ON {COLUMNS} WHERE changed_minute > '-infinity'"
        )
    _drop()
    op.execute(f"-- squawk-ignore renaming-object\nALTER INDEX {INDEX}_new RENAME TO {INDEX}")


def downgrade() -> None:
    _drop()
    op.execute(f"CREATE INDEX {INDEX} ON {COLUMNS}")


def _drop() -> None:
    """The table is locked for a moment only."""
    op.execute(f"-- squawk-ignore require-concurrent-index-deletion\nDROP INDEX {INDEX}")
