"""Holds: whom the law forbids to delete, why and by whom; and that a relay is to deliver it.

The foreign key restricts: no deletion gets past a hold, whoever deletes the user or their tenant.
The version before goes on; it can neither place nor lift one.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "u0060"
down_revision = "u0052"
branch_labels = None
depends_on = None

TIMES = sa.DateTime(timezone=True)


def upgrade() -> None:
    for name in ("hold_rev", "hold_delivered_rev"):
        zero = sa.Column(name, sa.BigInteger(), server_default=sa.text("0"), nullable=False)
        op.add_column("subject_ledger", zero)
    op.add_column("subject_ledger", sa.Column("hold_changed_at", TIMES))
    op.create_table(
        "holds",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("reason", sa.String(1000), nullable=False),
        sa.Column("placed_by", sa.Uuid()),
        sa.Column("placed_at", TIMES, server_default=sa.text("now()"), nullable=False),
        sa.Column("in_force_since", TIMES),
        sa.PrimaryKeyConstraint("tenant_id", "user_id", name="pk_holds"),
        sa.ForeignKeyConstraint(
            ["tenant_id", "user_id"],
            ["users.tenant_id", "users.id"],
            name="fk_holds_user_id_users",
            ondelete="RESTRICT",
        ),
    )
    _keep_tenants_apart("holds")
    for statement in (KEEP, *TRIGGERS, PENDING, ACKNOWLEDGE, OUTRUN, BACKLOG, FACTS, MEND):
        op.execute(statement)


def downgrade() -> None:
    op.drop_table("holds")
    for name in (
        *("mend_hold", "hold_facts", "hold_backlog", "outrun_hold", "acknowledge_hold"),
        *("pending_holds", "keep_hold_ledger"),
    ):
        op.execute(f"DROP FUNCTION {name}")
    for column in ("hold_changed_at", "hold_delivered_rev", "hold_rev"):
        op.drop_column("subject_ledger", column)


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


TRIGGERS = (
    """
CREATE TRIGGER keep_hold_ledger AFTER INSERT OR DELETE ON holds
    FOR EACH ROW EXECUTE FUNCTION keep_hold_ledger()
""",
    """
CREATE TRIGGER refuse_holds_truncate BEFORE TRUNCATE ON holds
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_ledger_change()
""",
)

KEEP = """
CREATE FUNCTION keep_hold_ledger() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    hold record := NEW;
BEGIN
    IF TG_OP = 'DELETE' THEN
        hold := OLD;
    END IF;
    INSERT INTO subject_ledger AS l (tenant_id, user_id, state, rev, delivered_rev, hold_rev,
                                     hold_changed_at)
    VALUES (hold.tenant_id, hold.user_id, 'present', 1, 1, 1, now())
    ON CONFLICT (tenant_id, user_id) DO UPDATE
    SET hold_rev = l.hold_rev + 1, hold_changed_at = now();
    PERFORM pg_notify('bicameral_erasures', '');
    RETURN NULL;
END $$
"""

PENDING = """
CREATE FUNCTION pending_holds(page integer)
RETURNS TABLE (tenant_id uuid, user_id uuid, is_held boolean, rev bigint)
LANGUAGE sql STABLE
SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT l.tenant_id, l.user_id, h.user_id IS NOT NULL, l.hold_rev
    FROM subject_ledger l
    LEFT JOIN holds h ON h.tenant_id = l.tenant_id AND h.user_id = l.user_id
    WHERE l.hold_delivered_rev < l.hold_rev
    ORDER BY l.hold_changed_at LIMIT page
$$
"""

ACKNOWLEDGE = """
CREATE FUNCTION acknowledge_hold(tenant uuid, subject uuid, delivered bigint)
RETURNS boolean LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM FROM holds h WHERE h.tenant_id = tenant AND h.user_id = subject FOR UPDATE;
    UPDATE subject_ledger l
    SET hold_delivered_rev = delivered, not_before = least(l.not_before, now())
    WHERE l.tenant_id = tenant AND l.user_id = subject
    AND l.hold_rev = delivered AND l.hold_delivered_rev < delivered;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    UPDATE holds h SET in_force_since = now()
    WHERE h.tenant_id = tenant AND h.user_id = subject AND h.in_force_since IS NULL;
    RETURN true;
END $$
"""

OUTRUN = """
CREATE FUNCTION outrun_hold(tenant uuid, subject uuid, delivered bigint, seen bigint)
RETURNS void LANGUAGE sql
SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE subject_ledger l SET hold_rev = seen + 1
    WHERE l.tenant_id = tenant AND l.user_id = subject
    AND l.hold_rev = delivered AND seen > delivered
$$
"""

BACKLOG = """
CREATE FUNCTION hold_backlog()
RETURNS TABLE (pending bigint, oldest_pending_seconds double precision)
LANGUAGE sql STABLE
SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT count(*), coalesce(extract(epoch FROM now() - min(l.hold_changed_at)), 0)
    FROM subject_ledger l WHERE l.hold_delivered_rev < l.hold_rev
$$
"""

FACTS = """
CREATE FUNCTION hold_facts(after_tenant uuid, after_user uuid, page integer)
RETURNS TABLE (tenant_id uuid, user_id uuid, is_held boolean, rev bigint, is_pending boolean)
LANGUAGE sql STABLE
SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT k.tenant_id, k.user_id, h.user_id IS NOT NULL, coalesce(l.hold_rev, 0),
        coalesce(l.hold_delivered_rev < l.hold_rev, false)
    FROM (
        SELECT x.tenant_id, x.user_id FROM subject_ledger x WHERE x.hold_rev > 0
        UNION
        SELECT x.tenant_id, x.user_id FROM holds x
    ) AS k
    LEFT JOIN subject_ledger l ON l.tenant_id = k.tenant_id AND l.user_id = k.user_id
    LEFT JOIN holds h ON h.tenant_id = k.tenant_id AND h.user_id = k.user_id
    WHERE (k.tenant_id, k.user_id) > (after_tenant, after_user)
    ORDER BY k.tenant_id, k.user_id LIMIT page
$$
"""

MEND = """
CREATE FUNCTION mend_hold(tenant uuid, subject uuid, seen bigint) RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF tenant IS DISTINCT FROM nullif(current_setting('app.tenant_id', true), '')::uuid THEN
        RAISE EXCEPTION 'only entries of the own tenant are mended' USING ERRCODE = '42501';
    END IF;
    UPDATE holds h SET in_force_since = NULL WHERE h.tenant_id = tenant AND h.user_id = subject;
    UPDATE subject_ledger l
    SET hold_rev = greatest(l.hold_rev, seen) + 1, hold_changed_at = now()
    WHERE l.tenant_id = tenant AND l.user_id = subject;
END $$
"""
