"""Tenants, users, their blocks and access tokens, each tenant's rows for itself."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "u0001"
down_revision = None
branch_labels = None
depends_on = None

NOW = sa.text("now()")
TIMES = sa.DateTime(timezone=True)


def upgrade() -> None:
    _tenants()
    _users()
    _user_blocks()
    _access_tokens()
    for table, column in POLICIES.items():
        _keep_tenants_apart(table, column)


def downgrade() -> None:
    for table in ("access_tokens", "user_blocks", "users", "tenants"):
        op.drop_table(table)


def _tenants() -> None:
    op.create_table(
        "tenants",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(63), nullable=False),
        sa.Column("created_at", TIMES, server_default=NOW, nullable=False),
        sa.Column("updated_at", TIMES, server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tenants"),
    )
    op.create_index("idx_tenants_name", "tenants", ["name"], unique=True)


def _users() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("username", sa.String(255), nullable=False),
        sa.Column("email", sa.String(255), nullable=False),
        sa.Column("password_hash", sa.String(255), nullable=False),
        sa.Column(
            "roles",
            postgresql.JSONB(),
            server_default=sa.text("'[\"member\"]'::jsonb"),
            nullable=False,
        ),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("is_blocked", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("created_at", TIMES, server_default=NOW, nullable=False),
        sa.Column("updated_at", TIMES, server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name="fk_users_tenant_id_tenants", ondelete="CASCADE"
        ),
        sa.CheckConstraint(r"username ~ '^\\[^\\]+\\[^\\]+$'", name=op.f("ck_users_username")),
    )
    op.create_index("idx_users_username", "users", ["username"], unique=True)
    op.create_index("idx_users_email", "users", [sa.text("lower(email)")], unique=True)
    op.create_index("idx_users_tenant_id", "users", ["tenant_id"])
    op.create_index(
        "idx_users_is_blocked", "users", ["is_blocked"], postgresql_where=sa.text("is_blocked")
    )


def _user_blocks() -> None:
    op.create_table(
        "user_blocks",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("reason", sa.String(1000)),
        sa.Column("blocked_by", sa.Uuid()),
        sa.Column("blocked_at", TIMES, server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("user_id", name="pk_user_blocks"),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_user_blocks_user_id_users", ondelete="CASCADE"
        ),
    )


def _access_tokens() -> None:
    op.create_table(
        "access_tokens",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", TIMES, server_default=NOW, nullable=False),
        sa.Column("last_used_at", TIMES, server_default=NOW, nullable=False),
        sa.Column("expires_at", TIMES, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_access_tokens"),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_access_tokens_user_id_users", ondelete="CASCADE"
        ),
    )
    op.create_index("idx_access_tokens_user_id", "access_tokens", ["user_id"])


# The column that says whose row it is.
POLICIES = {
    "tenants": "id",
    "users": "tenant_id",
    "user_blocks": "tenant_id",
    "access_tokens": "tenant_id",
}


def _keep_tenants_apart(table: str, column: str) -> None:
    """FORCE binds the owner too; `across` opens the table to the owner's own functions alone.

    Inside a SECURITY DEFINER function the current user is the owner and the session's is whoever
    called. nullif: after COMMIT the setting is '', not NULL.
    """
    tenant = "nullif(current_setting('app.tenant_id', true), '')::uuid"
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    op.execute(
        f"CREATE POLICY tenant ON {table}"
        f" USING ({column} = {tenant}) WITH CHECK ({column} = {tenant})"
    )
    op.execute(
        f"CREATE POLICY across ON {table} TO CURRENT_USER"
        " USING (current_user <> session_user) WITH CHECK (current_user <> session_user)"
    )
