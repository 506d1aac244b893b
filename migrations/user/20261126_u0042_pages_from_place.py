"""A page of all tenants' users, erasures or tenants is an index scan that begins at its place.

On PostgreSQL 15 it read every row before, since the place was an expression in the statement.
"""

from __future__ import annotations

from alembic import op

revision = "u0042"
down_revision = "u0041"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for function in FROM_THEIR_PLACE:
        op.execute(function)


def downgrade() -> None:
    for function in AS_BEFORE:
        op.execute(function)


FROM_THEIR_PLACE = (
    """
CREATE OR REPLACE FUNCTION platform_user_page(
    after_at timestamptz, after_id uuid, made_at timestamptz, page integer
) RETURNS TABLE (id uuid, tenant_id uuid, username varchar, email varchar, external_id varchar,
                 roles jsonb, is_active boolean, is_blocked boolean, created_at timestamptz,
                 updated_at timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF after_at IS NULL AND after_id IS NOT NULL THEN
        SELECT last.created_at INTO after_at FROM users last
        WHERE last.id = after_id;
    END IF;
    after_at := coalesce(after_at, made_at, '-infinity');
    after_id := coalesce(after_id, '00000000-0000-0000-0000-000000000000');
    RETURN QUERY
        SELECT u.id, u.tenant_id, u.username, u.email, u.external_id, u.roles, u.is_active,
               u.is_blocked, u.created_at, u.updated_at
        FROM users u
        WHERE (u.created_at, u.id) > (after_at, after_id)
        ORDER BY u.created_at, u.id LIMIT page;
END $$
""",
    """
CREATE OR REPLACE FUNCTION platform_tenants_by_time(
    after_at timestamptz, after_id uuid, made_at timestamptz, page integer
) RETURNS SETOF tenants
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF after_at IS NULL AND after_id IS NOT NULL THEN
        SELECT last.created_at INTO after_at FROM tenants last
        WHERE last.id = after_id;
    END IF;
    after_at := coalesce(after_at, made_at, '-infinity');
    after_id := coalesce(after_id, '00000000-0000-0000-0000-000000000000');
    RETURN QUERY
        SELECT t.* FROM tenants t
        WHERE (t.created_at, t.id) > (after_at, after_id)
        ORDER BY t.created_at, t.id LIMIT page;
END $$
""",
    """
CREATE OR REPLACE FUNCTION platform_erasures_by_time(
    after_at timestamptz, after_id uuid, made_at timestamptz, page integer
) RETURNS SETOF subject_ledger
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF after_at IS NULL AND after_id IS NOT NULL THEN
        SELECT last.changed_at INTO after_at FROM subject_ledger last
        WHERE last.user_id = after_id AND last.state = 'deleted';
    END IF;
    after_at := coalesce(after_at, made_at, '-infinity');
    after_id := coalesce(after_id, '00000000-0000-0000-0000-000000000000');
    RETURN QUERY
        SELECT l.* FROM subject_ledger l
        WHERE l.state = 'deleted' AND (l.changed_at, l.user_id) > (after_at, after_id)
        ORDER BY l.changed_at, l.user_id LIMIT page;
END $$
""",
)
AS_BEFORE = (
    """
CREATE OR REPLACE FUNCTION platform_user_page(
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
""",
    """
CREATE OR REPLACE FUNCTION platform_tenants_by_time(
    after_at timestamptz, after_id uuid, made_at timestamptz, page integer
) RETURNS SETOF tenants
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT t.* FROM tenants t
    WHERE (t.created_at, t.id) > (
        coalesce(after_at, (SELECT last.created_at FROM tenants last WHERE last.id = after_id),
                 made_at, '-infinity'),
        coalesce(after_id, '00000000-0000-0000-0000-000000000000'))
    ORDER BY t.created_at, t.id LIMIT page
$$
""",
    """
CREATE OR REPLACE FUNCTION platform_erasures_by_time(
    after_at timestamptz, after_id uuid, made_at timestamptz, page integer
) RETURNS SETOF subject_ledger
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT l.* FROM subject_ledger l
    WHERE l.state = 'deleted' AND (l.changed_at, l.user_id) > (
        coalesce(after_at,
                 (SELECT last.changed_at FROM subject_ledger last
                  WHERE last.user_id = after_id AND last.state = 'deleted'),
                 made_at, '-infinity'),
        coalesce(after_id, '00000000-0000-0000-0000-000000000000'))
    ORDER BY l.changed_at, l.user_id LIMIT page
$$
""",
)
