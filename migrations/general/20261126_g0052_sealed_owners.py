"""Reconcile reads which key seals whose words."""

from __future__ import annotations

from alembic import op

revision = "g0052"
down_revision = "g0051"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(SEALED_OWNERS)


def downgrade() -> None:
    op.execute("DROP FUNCTION sealed_owners(uuid, uuid, integer)")


SEALED_OWNERS = """
CREATE OR REPLACE FUNCTION sealed_owners(after_tenant uuid, after_user uuid, page integer)
RETURNS TABLE (tenant_id uuid, user_id uuid, key_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT o.tenant_id, o.user_id, o.key_id FROM owners o
    WHERE (o.tenant_id, o.user_id) > (after_tenant, after_user)
    AND o.state = 'open' AND o.key_id IS NOT NULL
    ORDER BY o.tenant_id, o.user_id LIMIT page
$$
"""
