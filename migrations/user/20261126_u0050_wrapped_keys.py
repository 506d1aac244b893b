"""A person's data key is kept wrapped, and goes in the commit that deletes the person.

The version before goes on: it writes none of this. Nothing is sealed until `litestar keys seal`, or
a process of this version that is given SEAL_KEYS where nobody has ever said anything.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "u0050"
down_revision = "u0044"
branch_labels = None
depends_on = None

TIMES = sa.DateTime(timezone=True)
NOW = sa.text("now()")
DEFINER = "SECURITY DEFINER SET search_path = public, pg_temp"
LEDGER = (
    "sealed boolean",
    "key_destroyed_at timestamptz",
    "plain_until timestamptz",
    "unrecoverable_after timestamptz",
)


def upgrade() -> None:
    _sealing()
    _wrapped_keys()
    columns = ", ".join(f"ADD COLUMN {column}" for column in LEDGER)
    op.execute(f"ALTER TABLE subject_ledger {columns}")
    for function in (NOTE_DESTROYED_KEY, SETTLE_ERASURE, KEEP_BACKUP_DAYS):
        op.execute(function)
    op.execute(
        "CREATE TRIGGER note_destroyed_key AFTER DELETE ON wrapped_keys"
        " FOR EACH ROW EXECUTE FUNCTION note_destroyed_key()"
    )


def downgrade() -> None:
    """Nothing can be read any more that was sealed: `litestar keys unseal` comes first."""
    op.execute("DROP FUNCTION keep_backup_days(integer, integer)")
    op.execute("DROP FUNCTION settle_erasure(uuid, uuid)")
    for table in ("wrapped_keys", "master_keys", "sealing"):
        op.drop_table(table)
    op.execute("DROP FUNCTION note_destroyed_key()")
    columns = ", ".join(f"DROP COLUMN {column.split()[0]}" for column in LEDGER)
    op.execute(f"ALTER TABLE subject_ledger {columns}")


def _sealing() -> None:
    """Make the one row there is, and the list of master keys in use."""
    op.create_table(
        "sealing",
        sa.Column("one", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("is_on", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("sealed_after", TIMES),
        sa.Column("user_backup_kept_days", sa.Integer(), server_default="30", nullable=False),
        sa.Column("general_backup_kept_days", sa.Integer(), server_default="30", nullable=False),
        sa.PrimaryKeyConstraint("one", name="pk_sealing"),
        sa.CheckConstraint("one", name=op.f("ck_sealing_one")),
    )
    op.execute("INSERT INTO sealing DEFAULT VALUES")
    op.create_table(
        "master_keys",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("proof", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", TIMES, server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_master_keys"),
    )


def _wrapped_keys() -> None:
    """`plain_until` is infinity while some rows are plain, and NULL where none ever was."""
    op.create_table(
        "wrapped_keys",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("master_id", sa.Text(), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", TIMES, server_default=NOW, nullable=False),
        sa.Column("plain_until", TIMES),
        sa.PrimaryKeyConstraint("tenant_id", "user_id", name="pk_wrapped_keys"),
        sa.ForeignKeyConstraint(
            ["tenant_id", "user_id"],
            ["users.tenant_id", "users.id"],
            name="fk_wrapped_keys_user_id_users",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["master_id"], ["master_keys.id"], name="fk_wrapped_keys_master_id_master_keys"
        ),
    )
    op.create_index("idx_wrapped_keys_master_id", "wrapped_keys", ["master_id"])
    tenant = "nullif(current_setting('app.tenant_id', true), '')::uuid"
    across = "current_user <> session_user"
    op.execute("ALTER TABLE wrapped_keys ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE wrapped_keys FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY tenant ON wrapped_keys"
        f" USING (tenant_id = {tenant}) WITH CHECK (tenant_id = {tenant})"
    )
    op.execute(
        "CREATE POLICY across ON wrapped_keys TO CURRENT_USER"
        f" USING ({across}) WITH CHECK ({across})"
    )


NOTE_DESTROYED_KEY = f"""
CREATE OR REPLACE FUNCTION note_destroyed_key() RETURNS trigger
LANGUAGE plpgsql {DEFINER} AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM users u WHERE u.tenant_id = OLD.tenant_id AND u.id = OLD.user_id
    ) THEN
        UPDATE subject_ledger l SET key_destroyed_at = now(), plain_until = OLD.plain_until,
            sealed = OLD.plain_until IS NULL
                OR OLD.plain_until <= now() - make_interval(days => s.general_backup_kept_days),
            unrecoverable_after = CASE WHEN OLD.plain_until IS DISTINCT FROM 'infinity' THEN
                greatest(now() + make_interval(days => s.user_backup_kept_days),
                    OLD.plain_until + make_interval(days => s.general_backup_kept_days)) END
        FROM sealing s
        WHERE l.tenant_id = OLD.tenant_id AND l.user_id = OLD.user_id
        AND l.key_destroyed_at IS NULL;
    END IF;
    RETURN NULL;
END $$
"""

SETTLE_ERASURE = f"""
CREATE OR REPLACE FUNCTION settle_erasure(tenant uuid, subject uuid)
RETURNS TABLE (sealed boolean, key_destroyed_at timestamptz, unrecoverable_after timestamptz)
LANGUAGE sql {DEFINER} AS $$
    UPDATE subject_ledger l SET unrecoverable_after = greatest(
        l.key_destroyed_at + make_interval(days => s.user_backup_kept_days),
        now() + make_interval(days => s.general_backup_kept_days))
    FROM sealing s
    WHERE l.tenant_id = tenant AND l.user_id = subject
    AND l.key_destroyed_at IS NOT NULL AND l.unrecoverable_after IS NULL;
    SELECT l.sealed, l.key_destroyed_at, l.unrecoverable_after FROM subject_ledger l
    WHERE l.tenant_id = tenant AND l.user_id = subject;
$$
"""

KEEP_BACKUP_DAYS = f"""
CREATE OR REPLACE FUNCTION keep_backup_days(user_days integer, general_days integer) RETURNS void
LANGUAGE plpgsql {DEFINER} AS $$
BEGIN
    IF current_setting('transaction_read_only') = 'off' THEN
        UPDATE sealing SET user_backup_kept_days = user_days,
            general_backup_kept_days = general_days
        WHERE (user_backup_kept_days, general_backup_kept_days) <> (user_days, general_days);
    END IF;
END $$
"""
