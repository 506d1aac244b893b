"""Audit events: who did what to whom, in ids alone, written with what they tell of."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "u0022"
down_revision = "u0021"
branch_labels = None
depends_on = None

ACTORS = "actor_type IN ('user', 'api_key', 'operator', 'relay')"
COLUMNS = """
    id uuid, tenant_id uuid, at timestamptz, actor_type varchar, actor_id uuid, on_behalf_of uuid,
    action varchar, target_type varchar, target_id uuid, request_id varchar
"""


def upgrade() -> None:
    op.execute(AUDIT_ID)
    op.create_table(
        "audit_events",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), server_default=sa.text("audit_id()"), nullable=False),
        sa.Column(
            "at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.Column("actor_type", sa.String(10), nullable=False),
        sa.Column("actor_id", sa.Uuid()),
        sa.Column("on_behalf_of", sa.Uuid()),
        sa.Column("action", sa.String(50), nullable=False),
        sa.Column("target_type", sa.String(20), nullable=False),
        sa.Column("target_id", sa.Uuid()),
        sa.Column("request_id", sa.String(100)),
        sa.PrimaryKeyConstraint("tenant_id", "id", name="pk_audit_events"),
        sa.CheckConstraint(ACTORS, name=op.f("ck_audit_events_actor_type")),
    )
    for column in ("actor_id", "target_id", "action"):
        op.create_index(f"idx_audit_events_{column}", "audit_events", ["tenant_id", column, "id"])
        op.create_index(f"idx_audit_events_all_{column}", "audit_events", [column, "id"])
    op.create_index("idx_audit_events_id", "audit_events", ["id"])
    _keep_tenants_apart("audit_events")
    for statement in (PLATFORM, EXPIRE):
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP FUNCTION expire_audit_events(interval, integer)")
    op.execute("DROP FUNCTION platform_audit_events(uuid, uuid, uuid, varchar, integer)")
    op.drop_table("audit_events")
    op.execute("DROP FUNCTION audit_id()")


def _keep_tenants_apart(table: str) -> None:
    """Set the policies as u0001 does for its tables."""
    tenant = "nullif(current_setting('app.tenant_id', true), '')::uuid"
    across = "current_user <> session_user"
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    op.execute(
        f"CREATE POLICY tenant ON {table}"
        f" USING (tenant_id = {tenant}) WITH CHECK (tenant_id = {tenant})"
    )
    op.execute(
        f"CREATE POLICY across ON {table} TO CURRENT_USER USING ({across}) WITH CHECK ({across})"
    )


DEFINER = "SECURITY DEFINER SET search_path = public, pg_temp"

AUDIT_ID = """
CREATE FUNCTION audit_id() RETURNS uuid LANGUAGE sql VOLATILE AS $$
    SELECT encode(set_bit(set_bit(overlay(
        uuid_send(gen_random_uuid())
        PLACING substring(int8send(floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint)
                          FROM 3) FROM 1 FOR 6), 52, 1), 53, 1), 'hex')::uuid
$$
"""

PLATFORM = f"""
CREATE FUNCTION platform_audit_events(
    before uuid, actor uuid, target uuid, done varchar, page integer
) RETURNS TABLE ({COLUMNS}) LANGUAGE plpgsql STABLE {DEFINER} AS $$
DECLARE
    beyond uuid := coalesce(before, 'ffffffff-ffff-ffff-ffff-ffffffffffff');
BEGIN
    IF actor IS NOT NULL THEN
        RETURN QUERY
            SELECT e.id, e.tenant_id, e.at, e.actor_type, e.actor_id, e.on_behalf_of, e.action,
                   e.target_type, e.target_id, e.request_id
            FROM audit_events e WHERE e.actor_id = actor AND e.id < beyond
            ORDER BY e.id DESC LIMIT page;
    ELSIF target IS NOT NULL THEN
        RETURN QUERY
            SELECT e.id, e.tenant_id, e.at, e.actor_type, e.actor_id, e.on_behalf_of, e.action,
                   e.target_type, e.target_id, e.request_id
            FROM audit_events e WHERE e.target_id = target AND e.id < beyond
            ORDER BY e.id DESC LIMIT page;
    ELSIF done IS NOT NULL THEN
        RETURN QUERY
            SELECT e.id, e.tenant_id, e.at, e.actor_type, e.actor_id, e.on_behalf_of, e.action,
                   e.target_type, e.target_id, e.request_id
            FROM audit_events e WHERE e.action = done AND e.id < beyond
            ORDER BY e.id DESC LIMIT page;
    ELSE
        RETURN QUERY
            SELECT e.id, e.tenant_id, e.at, e.actor_type, e.actor_id, e.on_behalf_of, e.action,
                   e.target_type, e.target_id, e.request_id
            FROM audit_events e WHERE e.id < beyond
            ORDER BY e.id DESC LIMIT page;
    END IF;
END $$
"""

# An id begins with its time in milliseconds: the index on ids is the index on times.
EXPIRE = f"""
CREATE FUNCTION expire_audit_events(kept interval, rows integer) RETURNS bigint
LANGUAGE sql {DEFINER} AS $$
    WITH expired AS MATERIALIZED (
        SELECT e.tenant_id, e.id FROM audit_events e
        WHERE e.id < (lpad(to_hex(floor(extract(epoch FROM now() - kept) * 1000)::bigint), 12, '0')
                      || repeat('0', 20))::uuid
        ORDER BY e.id LIMIT rows FOR UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM audit_events e USING expired x
        WHERE e.tenant_id = x.tenant_id AND e.id = x.id
        RETURNING 1
    )
    SELECT count(*) FROM gone
$$
"""
