"""A platform administrator's page of users has the ids that their products know them by.

A function of its own, beside the one whose result the version before reads.
"""

from __future__ import annotations

from alembic import op

revision = "u0041"
down_revision = "u0040"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(PAGE)


def downgrade() -> None:
    op.execute("DROP FUNCTION platform_user_page(timestamptz, uuid, timestamptz, integer)")


PAGE = """
CREATE FUNCTION platform_user_page(
    after_at timestamptz, after_id uuid, made_at timestamptz, page integer
) RETURNS TABLE (id uuid, tenant_id uuid, username varchar, email varchar, external_id varchar,
                 roles jsonb, is_active boolean, is_blocked boolean, created_at timestamptz,
                 updated_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT u.id, u.tenant_id, u.username, u.email, u.external_id, u.roles, u.is_active,
           u.is_blocked, u.created_at, u.updated_at
    FROM users u
    WHERE (u.created_at, u.id) > (
        coalesce(after_at, (SELECT last.created_at FROM users last WHERE last.id = after_id),
                 made_at, '-infinity'),
        coalesce(after_id, '00000000-0000-0000-0000-000000000000'))
    ORDER BY u.created_at, u.id LIMIT page
$$
"""
