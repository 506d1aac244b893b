"""The owners of the sessions there are. Blocks neither readers nor writers."""

from __future__ import annotations

from alembic import op

revision = "g0003"
down_revision = "g0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "INSERT INTO owners (tenant_id, user_id)"
        " SELECT DISTINCT tenant_id, user_id FROM chat_sessions ON CONFLICT DO NOTHING"
    )
    op.execute("ALTER TABLE chat_sessions VALIDATE CONSTRAINT fk_chat_sessions_tenant_id_owners")


def downgrade() -> None:
    """An owner too many does no harm; g0002's downgrade drops them all."""
