"""The sessions that were kept long enough are found by indexes, within a tenant.

An append writes one of the two once a minute, as the index of recent order; only the sessions that
say when they end are in the other.
"""

from __future__ import annotations

from alembic import op

revision = "g0054"
down_revision = "g0053"
branch_labels = None
depends_on = None

INDEXES = {
    "idx_chat_sessions_tenant_minute": "(tenant_id, changed_minute)"
    " WHERE changed_minute < 'infinity'",
    "idx_chat_sessions_expires_at": "(tenant_id, expires_at) WHERE expires_at IS NOT NULL",
}


def upgrade() -> None:
    with op.get_context().autocommit_block():
        for name, columns in INDEXES.items():
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")  # an upgrade's that failed
            op.execute(f"CREATE INDEX CONCURRENTLY {name} ON chat_sessions {columns}")


def downgrade() -> None:
    for name in INDEXES:
        op.drop_index(name, table_name="chat_sessions")
