"""Owners who are held, or were, are found by an index: reconcile compares them with the holds."""

from __future__ import annotations

from alembic import op

revision = "g0036"
down_revision = "g0035"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.get_context().autocommit_block():
        # An upgrade that failed may have left one.
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS idx_owners_hold_rev")
        op.execute(
            "CREATE INDEX CONCURRENTLY idx_owners_hold_rev ON owners (tenant_id, user_id)"
            " WHERE hold_rev > 0"
        )


def downgrade() -> None:
    op.drop_index("idx_owners_hold_rev", table_name="owners")
