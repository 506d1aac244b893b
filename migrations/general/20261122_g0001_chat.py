"""Chat sessions and messages; `tenant_id` leads every key."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "g0001"
down_revision = None
branch_labels = None
depends_on = None

NOW = sa.text("now()")
TIMES = sa.DateTime(timezone=True)


def upgrade() -> None:
    _chat_sessions()
    _messages()
    for table in ("chat_sessions", "messages"):
        _keep_tenants_apart(table)


def downgrade() -> None:
    op.drop_table("messages")
    op.drop_table("chat_sessions")


def _chat_sessions() -> None:
    op.create_table(
        "chat_sessions",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column(
            "title",
            sa.String(255),
            server_default=sa.text("'New Conversation'"),
            nullable=False,
        ),
        sa.Column("message_count", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", TIMES, server_default=NOW, nullable=False),
        sa.Column("updated_at", TIMES, server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "id", name="pk_chat_sessions"),
    )
    op.create_index("idx_chat_sessions_user_id", "chat_sessions", ["tenant_id", "user_id", "id"])


def _messages() -> None:
    op.create_table(
        "messages",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("role", sa.String(20), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("created_at", TIMES, server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "id", name="pk_messages"),
        sa.ForeignKeyConstraint(
            ["tenant_id", "session_id"],
            ["chat_sessions.tenant_id", "chat_sessions.id"],
            name="fk_messages_tenant_id_chat_sessions",
            ondelete="CASCADE",
        ),
        sa.CheckConstraint("role IN ('user', 'assistant')", name=op.f("ck_messages_role")),
    )
    op.create_index(
        "idx_messages_session_id",
        "messages",
        ["tenant_id", "session_id", "position"],
        unique=True,
    )


def _keep_tenants_apart(table: str) -> None:
    """A plain expression: Citus refuses a sub-SELECT here. nullif: after COMMIT the setting is ''.

    A setting that is no UUID raises, so it shows no rows either.
    """
    tenant = "nullif(current_setting('app.tenant_id', true), '')::uuid"
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    op.execute(
        f"CREATE POLICY tenant ON {table}"
        f" USING (tenant_id = {tenant}) WITH CHECK (tenant_id = {tenant})"
    )
