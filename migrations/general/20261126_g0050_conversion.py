"""`litestar keys` sees who has conversations, sealed or not."""

from __future__ import annotations

from alembic import op

revision = "g0050"
down_revision = "g0047"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(OWNERS_PAGE)
    op.execute(OWNERS_NEVER_SEALED)


def downgrade() -> None:
    op.execute("DROP FUNCTION owners_never_sealed()")
    op.execute("DROP FUNCTION owners_page(uuid, uuid, integer)")


OWNERS_PAGE = """
CREATE OR REPLACE FUNCTION owners_page(after_tenant uuid, after_user uuid, page integer)
RETURNS TABLE (tenant_id uuid, user_id uuid, key_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT o.tenant_id, o.user_id, o.key_id FROM owners o
    WHERE (o.tenant_id, o.user_id) > (after_tenant, after_user) AND o.state = 'open'
    ORDER BY o.tenant_id, o.user_id LIMIT page
$$
"""

OWNERS_NEVER_SEALED = """
CREATE OR REPLACE FUNCTION owners_never_sealed() RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT count(*) FROM owners o WHERE o.key_id IS NULL AND o.state = 'open'
$$
"""
