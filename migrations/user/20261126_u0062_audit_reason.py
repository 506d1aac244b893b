"""Audit events of holds tell the reason; a page of events has whatever columns the table has."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "u0062"
down_revision = "u0061"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("audit_events", sa.Column("reason", sa.String(1000)))
    op.execute(PAGE)


def downgrade() -> None:
    op.execute("DROP FUNCTION platform_audit_page")
    op.drop_column("audit_events", "reason")


PAGE = """
CREATE FUNCTION platform_audit_page(
    before uuid, actor uuid, target uuid, done varchar, page integer
) RETURNS SETOF audit_events LANGUAGE plpgsql STABLE
SECURITY DEFINER SET search_path = public, pg_temp
SET enable_sort = off SET enable_bitmapscan = off AS $$
DECLARE
    beyond uuid := coalesce(before, 'ffffffff-ffff-ffff-ffff-ffffffffffff');
BEGIN
    IF actor IS NOT NULL THEN
        RETURN QUERY
            SELECT e.* FROM audit_events e WHERE e.actor_id = actor AND e.id < beyond
            ORDER BY e.id DESC LIMIT page;
    ELSIF target IS NOT NULL THEN
        RETURN QUERY
            SELECT e.* FROM audit_events e WHERE e.target_id = target AND e.id < beyond
            ORDER BY e.id DESC LIMIT page;
    ELSIF done IS NOT NULL THEN
        RETURN QUERY
            SELECT e.* FROM audit_events e WHERE e.action = done AND e.id < beyond
            ORDER BY e.id DESC LIMIT page;
    ELSE
        RETURN QUERY
            SELECT e.* FROM audit_events e WHERE e.id < beyond
            ORDER BY e.id DESC NULLS LAST LIMIT page;
    END IF;
END $$
"""
