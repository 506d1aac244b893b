"""Reconcile finds who has another key than the one that seals their words."""

from __future__ import annotations

from alembic import op

revision = "u0070"
down_revision = "u0064"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(OTHER_KEYS)


def downgrade() -> None:
    op.execute("DROP FUNCTION other_keys(uuid[], uuid[], uuid[])")


OTHER_KEYS = """
CREATE OR REPLACE FUNCTION other_keys(tenants uuid[], subjects uuid[], keys uuid[])
RETURNS TABLE (tenant_id uuid, user_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT k.tenant_id, k.user_id
    FROM unnest(tenants, subjects, keys) AS k (tenant_id, user_id, key_id)
    JOIN users u ON u.tenant_id = k.tenant_id AND u.id = k.user_id
    LEFT JOIN wrapped_keys w ON w.tenant_id = k.tenant_id AND w.user_id = k.user_id
    WHERE w.id IS DISTINCT FROM k.key_id
$$
"""
