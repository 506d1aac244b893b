"""The ledger of who exists: a row per user there is or ever was, kept by a trigger."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "u0002"
down_revision = "u0001"
branch_labels = None
depends_on = None

NOW = sa.text("now()")
TIMES = sa.DateTime(timezone=True)


def upgrade() -> None:
    _subject_ledger()
    _keep_tenants_apart()
    for statement in (LEDGER, FINAL, *TRIGGERS):
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TRIGGER keep_subject_ledger ON users")
    op.execute("DROP TRIGGER refuse_users_move ON users")
    op.execute("DROP TRIGGER refuse_users_truncate ON users")
    op.drop_table("subject_ledger")
    op.execute("DROP FUNCTION keep_subject_ledger()")
    op.execute("DROP FUNCTION refuse_ledger_change()")


def _subject_ledger() -> None:
    op.create_table(
        "subject_ledger",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("rev", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.Column("changed_at", TIMES, server_default=NOW, nullable=False),
        sa.Column("delivered_rev", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("receipt", sa.String(64)),
        sa.Column("completed_at", TIMES),
        sa.Column("chat_sessions", sa.BigInteger()),
        sa.Column("messages", sa.BigInteger()),
        sa.Column("not_before", TIMES, server_default=NOW, nullable=False),
        sa.Column("lease_until", TIMES),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("last_error", sa.String(200)),
        sa.PrimaryKeyConstraint("tenant_id", "user_id", name="pk_subject_ledger"),
        sa.CheckConstraint("state IN ('present', 'deleted')", name=op.f("ck_subject_ledger_state")),
    )
    op.create_index(
        "idx_subject_ledger_pending",
        "subject_ledger",
        ["not_before"],
        postgresql_where=sa.text("delivered_rev < rev"),
    )
    op.create_index(
        "idx_subject_ledger_deleted",
        "subject_ledger",
        ["tenant_id", "user_id"],
        postgresql_where=sa.text("state = 'deleted'"),
    )
    op.create_index("idx_subject_ledger_user_id", "subject_ledger", ["user_id"], unique=True)


def _keep_tenants_apart() -> None:
    """Set the policies as u0001 does for its tables."""
    tenant = "nullif(current_setting('app.tenant_id', true), '')::uuid"
    across = "current_user <> session_user"
    op.execute("ALTER TABLE subject_ledger ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE subject_ledger FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY tenant ON subject_ledger"
        f" USING (tenant_id = {tenant}) WITH CHECK (tenant_id = {tenant})"
    )
    op.execute(
        "CREATE POLICY across ON subject_ledger TO CURRENT_USER"
        f" USING ({across}) WITH CHECK ({across})"
    )


DEFINER = "SECURITY DEFINER SET search_path = public, pg_temp"

# A trigger, so that psql and cascades count too. Users begin delivered: there is nothing to send.
LEDGER = f"""
CREATE FUNCTION keep_subject_ledger() RETURNS trigger LANGUAGE plpgsql {DEFINER} AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        INSERT INTO subject_ledger (tenant_id, user_id, state, rev, delivered_rev)
        VALUES (OLD.tenant_id, OLD.id, 'deleted', 1, 0)
        ON CONFLICT (tenant_id, user_id) DO UPDATE
        SET state = 'deleted', rev = subject_ledger.rev + 1, changed_at = now(),
            not_before = now(), lease_until = NULL, attempts = 0
        WHERE subject_ledger.state <> 'deleted';
    ELSE
        INSERT INTO subject_ledger (tenant_id, user_id, state, rev, delivered_rev)
        VALUES (NEW.tenant_id, NEW.id, 'present', 1, 1);
    END IF;
    RETURN NULL;
END $$
"""

# 'deleted' is final, a user never changes tenants, and nothing leaves the ledger.
FINAL = """
CREATE FUNCTION refuse_ledger_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND TG_TABLE_NAME = 'users' THEN
        RAISE EXCEPTION 'a user cannot change id or tenant' USING ERRCODE = '23514';
    END IF;
    RAISE EXCEPTION 'the ledger only moves forward' USING ERRCODE = '23514';
END $$
"""

TRIGGERS = (
    """
CREATE TRIGGER keep_subject_ledger AFTER INSERT OR DELETE ON users
    FOR EACH ROW EXECUTE FUNCTION keep_subject_ledger()
""",
    """
CREATE TRIGGER refuse_users_move BEFORE UPDATE OF id, tenant_id ON users FOR EACH ROW
    WHEN (OLD.id <> NEW.id OR OLD.tenant_id <> NEW.tenant_id)
    EXECUTE FUNCTION refuse_ledger_change()
""",
    """
CREATE TRIGGER refuse_users_truncate BEFORE TRUNCATE ON users
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_ledger_change()
""",
    """
CREATE TRIGGER refuse_ledger_truncate BEFORE TRUNCATE ON subject_ledger
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_ledger_change()
""",
    """
CREATE TRIGGER refuse_ledger_delete BEFORE DELETE ON subject_ledger
    FOR EACH ROW EXECUTE FUNCTION refuse_ledger_change()
""",
    """
CREATE TRIGGER refuse_ledger_return BEFORE UPDATE ON subject_ledger FOR EACH ROW
    WHEN (OLD.state = 'deleted' AND NEW.state <> 'deleted' OR NEW.rev < OLD.rev)
    EXECUTE FUNCTION refuse_ledger_change()
""",
)
