"""A relay measures how long after its commit a deletion reaches the general database."""

from __future__ import annotations

from alembic import op

revision = "u0081"
down_revision = "u0080"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(SECONDS_SINCE_DELETION)


def downgrade() -> None:
    op.execute("DROP FUNCTION seconds_since_deletion")


SECONDS_SINCE_DELETION = """
CREATE FUNCTION seconds_since_deletion(tenant uuid, subjects uuid[])
RETURNS TABLE (user_id uuid, seconds double precision)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT l.user_id, extract(epoch FROM clock_timestamp() - l.changed_at)::double precision
    FROM subject_ledger l
    WHERE l.tenant_id = tenant AND l.user_id = ANY (subjects) AND l.state = 'deleted'
$$
"""
