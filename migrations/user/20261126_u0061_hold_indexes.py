"""Holds that are to be delivered are found by an index, and so is who is held, or was."""

from __future__ import annotations

from alembic import op

revision = "u0061"
down_revision = "u0060"
branch_labels = None
depends_on = None

INDEXES = {
    "idx_subject_ledger_hold_pending": "(hold_changed_at) WHERE hold_delivered_rev < hold_rev",
    "idx_subject_ledger_hold_rev": "(tenant_id, user_id) WHERE hold_rev > 0",
}


def upgrade() -> None:
    with op.get_context().autocommit_block():
        for name, columns in INDEXES.items():
            # An upgrade that failed may have left one.
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            op.execute(f"CREATE INDEX CONCURRENTLY {name} ON subject_ledger {columns}")


def downgrade() -> None:
    for name in INDEXES:
        op.drop_index(name, table_name="subject_ledger")
