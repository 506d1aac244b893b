"""Idempotency keys: what was answered to a request that created, so that a retry is answered alike.

A key goes with the user who sent it. An answer that tells of a user goes with that user, and its
key stays used: a retry that comes late must not create again who was deleted.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "u0006"
down_revision = "u0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _user_idempotency_keys()
    _keep_tenants_apart()
    for statement in (FORGET, TRIGGER, EXPIRE):
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP FUNCTION expire_keys(integer)")
    op.drop_table("user_idempotency_keys")
    op.execute("DROP FUNCTION forget_answer()")


def _user_idempotency_keys() -> None:
    op.create_table(
        "user_idempotency_keys",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.String(255), nullable=False),
        sa.Column("fingerprint", sa.Text()),
        sa.Column("answer", sa.LargeBinary()),
        sa.Column("about_id", sa.Uuid()),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "user_id", "key", name="pk_user_idempotency_keys"),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["users.id"],
            name="fk_user_idempotency_keys_user_id_users",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["about_id"],
            ["users.id"],
            name="fk_user_idempotency_keys_about_id_users",
            ondelete="SET NULL",
        ),
    )
    table = "user_idempotency_keys"
    op.create_index("idx_user_idempotency_keys_user_id", table, ["user_id"])
    op.create_index(
        "idx_user_idempotency_keys_about_id",
        table,
        ["about_id"],
        postgresql_where=sa.text("about_id IS NOT NULL"),
    )
    op.create_index("idx_user_idempotency_keys_expires_at", table, ["expires_at"])


def _keep_tenants_apart() -> None:
    """Set the policies as u0001 does for its tables."""
    tenant = "nullif(current_setting('app.tenant_id', true), '')::uuid"
    across = "current_user <> session_user"
    op.execute("ALTER TABLE user_idempotency_keys ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE user_idempotency_keys FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY tenant ON user_idempotency_keys"
        f" USING (tenant_id = {tenant}) WITH CHECK (tenant_id = {tenant})"
    )
    op.execute(
        "CREATE POLICY across ON user_idempotency_keys TO CURRENT_USER"
        f" USING ({across}) WITH CHECK ({across})"
    )


# The fingerprint, too, is made of what was sent about them.
FORGET = """
CREATE FUNCTION forget_answer() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.answer := NULL;
    NEW.fingerprint := NULL;
    RETURN NEW;
END $$
"""

# The foreign key's own SET NULL fires it, whoever deletes, and however.
TRIGGER = """
CREATE TRIGGER forget_answer BEFORE UPDATE OF about_id ON user_idempotency_keys
    FOR EACH ROW WHEN (NEW.about_id IS NULL) EXECUTE FUNCTION forget_answer()
"""

DEFINER = "SECURITY DEFINER SET search_path = public, pg_temp"

# MATERIALIZED: else more might be locked than the limit says.
EXPIRE = f"""
CREATE FUNCTION expire_keys(rows integer) RETURNS bigint LANGUAGE sql {DEFINER} AS $$
    WITH expired AS MATERIALIZED (
        SELECT k.tenant_id, k.user_id, k.key FROM user_idempotency_keys k
        WHERE k.expires_at <= now() ORDER BY k.expires_at LIMIT rows FOR UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM user_idempotency_keys k USING expired e
        WHERE k.tenant_id = e.tenant_id AND k.user_id = e.user_id AND k.key = e.key
        RETURNING 1
    )
    SELECT count(*) FROM gone
$$
"""
