"""A tenant may say for how many days its conversations are kept; the relay reads it.

The version before knows of no such column, and its tenants keep theirs for ever, as before.
"""

from __future__ import annotations

from alembic import op

revision = "u0063"
down_revision = "u0062"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # One statement, so that the constraint is true of its new column from the beginning.
    op.execute(
        "ALTER TABLE tenants ADD COLUMN retention_days integer"
        " CONSTRAINT ck_tenants_retention_days CHECK (retention_days BETWEEN 1 AND 36500)"
    )
    for statement in (POLICIES, POLICY):
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP FUNCTION retention_policy(uuid)")
    op.execute("DROP FUNCTION retention_policies(uuid, integer)")
    op.drop_column("tenants", "retention_days")


DEFINER = "SECURITY DEFINER SET search_path = public, pg_temp"

POLICIES = f"""
CREATE FUNCTION retention_policies(after uuid, page integer)
RETURNS TABLE (tenant_id uuid, retention_days integer)
LANGUAGE sql STABLE {DEFINER} AS $$
    SELECT t.id, t.retention_days FROM tenants t
    WHERE t.id > after AND t.retention_days IS NOT NULL ORDER BY t.id LIMIT page
$$
"""

POLICY = f"""
CREATE FUNCTION retention_policy(tenant uuid) RETURNS integer
LANGUAGE sql STABLE {DEFINER} AS $$
    SELECT t.retention_days FROM tenants t WHERE t.id = tenant
$$
"""
