"""Failed logins one by one, the addresses that people log in from, and a key for digests of both.

The functions that read and write them come with the next revision.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "u0034"
down_revision = "u0033"
branch_labels = None
depends_on = None

NOW = sa.text("now()")
TIMES = sa.DateTime(timezone=True)


def upgrade() -> None:
    _login_failures()
    _login_addresses()
    _digest_keys()
    op.execute(DIGEST_KEY)


def downgrade() -> None:
    op.execute("DROP FUNCTION digest_key()")
    for table in ("digest_keys", "login_addresses", "login_failures"):
        op.drop_table(table)


def _login_failures() -> None:
    op.create_table(
        "login_failures",
        sa.Column("account", sa.LargeBinary(), nullable=False),
        sa.Column("address", sa.LargeBinary(), nullable=False),
        sa.Column("at", TIMES, nullable=False),
        sa.Column("tenant_id", sa.Uuid()),
        sa.Column("user_id", sa.Uuid()),
        sa.PrimaryKeyConstraint("account", "address", "at", name="pk_login_failures"),
        _user_of("login_failures"),
    )
    for columns in (["account", "at"], ["address", "at"], ["at"], ["tenant_id", "user_id"]):
        op.create_index(f"idx_login_failures_{'_'.join(columns)}", "login_failures", columns)
    _keep_tenants_apart("login_failures")


def _login_addresses() -> None:
    op.create_table(
        "login_addresses",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("address", sa.LargeBinary(), nullable=False),
        sa.Column("last_login_at", TIMES, server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "user_id", "address", name="pk_login_addresses"),
        _user_of("login_addresses"),
    )
    _keep_tenants_apart("login_addresses")


def _digest_keys() -> None:
    """Make the one row there is: 244 bits of PostgreSQL's own strong random numbers."""
    op.create_table(
        "digest_keys",
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_digest_keys"),
    )
    op.execute(
        "INSERT INTO digest_keys"
        " SELECT uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())"
    )


def _user_of(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["tenant_id", "user_id"],
        ["users.tenant_id", "users.id"],
        name=f"fk_{table}_user_id_users",
        ondelete="CASCADE",
    )


def _keep_tenants_apart(table: str) -> None:
    tenant = "nullif(current_setting('app.tenant_id', true), '')::uuid"
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    op.execute(
        f"CREATE POLICY tenant ON {table}"
        f" USING (tenant_id = {tenant}) WITH CHECK (tenant_id = {tenant})"
    )
    op.execute(
        f"CREATE POLICY across ON {table} TO CURRENT_USER"
        " USING (current_user <> session_user) WITH CHECK (current_user <> session_user)"
    )


DIGEST_KEY = """
CREATE OR REPLACE FUNCTION digest_key() RETURNS bytea
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT key FROM digest_keys
$$
"""
