"""Users and tenants in the order of the database's clock: indexes and the platform's pages for it.

Ids are in the order of the clocks of the processes that made them, of which any may be wrong. The
functions that page by id stay for the version before. Whatever fails here, the same upgrade may be
run again.
"""

from __future__ import annotations

from alembic import op

revision = "u0008"
down_revision = "u0007"
branch_labels = None
depends_on = None

OF_TENANT, BUILT = "idx_users_tenant_id", "idx_users_tenant_id_created_at"
INDEXES = {
    "idx_users_created_at": "users (created_at, id)",
    BUILT: "users (tenant_id, created_at, id)",
    "idx_tenants_created_at": "tenants (created_at, id)",
}


def upgrade() -> None:
    with op.get_context().autocommit_block():
        for index, columns in INDEXES.items():
            # What an upgrade that failed has left, not valid.
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {index}")
            op.execute(f"CREATE INDEX CONCURRENTLY {index} ON {columns}")
    _swap(f"ALTER INDEX {BUILT} RENAME TO {OF_TENANT}")
    for statement in (USERS, TENANTS):
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP FUNCTION platform_tenants_by_time(timestamptz, uuid, timestamptz, integer)")
    op.execute("DROP FUNCTION platform_users_by_time(timestamptz, uuid, timestamptz, integer)")
    _swap(f"CREATE INDEX {OF_TENANT} ON users (tenant_id)")
    op.execute("DROP INDEX idx_tenants_created_at")
    op.execute("DROP INDEX idx_users_created_at")


def _swap(statement: str) -> None:
    """The new index holds what the old one holds. The table is locked for a moment only."""
    op.execute(f"-- squawk-ignore require-concurrent-index-deletion\nDROP INDEX {OF_TENANT}")
    op.execute(f"-- squawk-ignore renaming-object\n{statement}")


USERS = """
CREATE FUNCTION platform_users_by_time(
    after_at timestamptz, after_id uuid, made_at timestamptz, page integer
) RETURNS TABLE (id uuid, tenant_id uuid, username varchar, email varchar, roles jsonb,
                 is_active boolean, is_blocked boolean, created_at timestamptz,
                 updated_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT u.id, u.tenant_id, u.username, u.email, u.roles, u.is_active, u.is_blocked,
           u.created_at, u.updated_at
    FROM users u
    WHERE (u.created_at, u.id) > (
        coalesce(after_at, (SELECT last.created_at FROM users last WHERE last.id = after_id),
                 made_at, '-infinity'),
        coalesce(after_id, '00000000-0000-0000-0000-000000000000'))
    ORDER BY u.created_at, u.id LIMIT page
$$
"""

TENANTS = """
CREATE FUNCTION platform_tenants_by_time(
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
"""
