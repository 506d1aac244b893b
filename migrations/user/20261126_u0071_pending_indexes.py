"""The pending erasures of one tenant, and the newest of all, are found by an index each.

Whatever fails here, the same upgrade may be run again.
"""

from __future__ import annotations

from alembic import op

revision = "u0071"
down_revision = "u0070"
branch_labels = None
depends_on = None


INDEXES = {
    "idx_subject_ledger_pending_tenant": "subject_ledger (tenant_id, not_before)",
    "idx_subject_ledger_pending_newest": "subject_ledger (changed_at)",
}


def upgrade() -> None:
    with op.get_context().autocommit_block():
        for index, columns in INDEXES.items():
            # What an upgrade that failed has left, not valid.
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {index}")
            op.execute(f"CREATE INDEX CONCURRENTLY {index} ON {columns} WHERE delivered_rev < rev")


def downgrade() -> None:
    for index in INDEXES:
        op.execute(f"-- squawk-ignore require-concurrent-index-deletion\nDROP INDEX {index}")
