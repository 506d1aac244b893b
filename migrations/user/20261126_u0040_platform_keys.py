"""A platform administrator's page of API keys, and the index for it."""

from __future__ import annotations

from alembic import op

revision = "u0040"
down_revision = "u0036"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # In the release that brings the table: it is as good as empty.
    op.execute(
        "-- squawk-ignore require-concurrent-index-creation\n"
        "CREATE INDEX idx_api_keys_created_at ON api_keys (created_at, id)"
    )
    op.execute(PAGE)


def downgrade() -> None:
    op.execute("DROP FUNCTION platform_api_keys(timestamptz, uuid, integer)")
    op.execute("DROP INDEX idx_api_keys_created_at")


PAGE = """
CREATE FUNCTION platform_api_keys(after_at timestamptz, after_id uuid, page integer)
RETURNS SETOF api_keys
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT k.* FROM api_keys k
    WHERE (k.created_at, k.id) > (
        coalesce(after_at, '-infinity'),
        coalesce(after_id, '00000000-0000-0000-0000-000000000000'))
    ORDER BY k.created_at, k.id LIMIT page
$$
"""
