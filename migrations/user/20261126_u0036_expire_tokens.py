"""Access tokens that have reached their end are found by it, and deleted by the relay.

Whatever fails here, the same upgrade may be run again.
"""

from __future__ import annotations

from alembic import op

revision = "u0036"
down_revision = "u0035"
branch_labels = None
depends_on = None

INDEX = "idx_access_tokens_expires_at"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        # What an upgrade that failed has left, not valid.
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {INDEX}")
        op.execute(f"CREATE INDEX CONCURRENTLY {INDEX} ON access_tokens (expires_at)")
    op.execute(EXPIRE_TOKENS)


def downgrade() -> None:
    op.execute("DROP FUNCTION expire_tokens(integer)")
    op.execute(f"DROP INDEX {INDEX}")


EXPIRE_TOKENS = """
CREATE FUNCTION expire_tokens(rows integer) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH expired AS MATERIALIZED (
        SELECT t.digest FROM access_tokens t
        WHERE t.expires_at <= now() ORDER BY t.expires_at LIMIT rows FOR UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM access_tokens t USING expired e WHERE t.digest = e.digest RETURNING 1
    )
    SELECT count(*) FROM gone
$$
"""
