"""Rows that were there before are of one tenant, too. What is not ends or is set right.

A token of another tenant than its user's is none of the service's making: it ends, and so does such
an idempotency key. A block follows its user.
"""

from __future__ import annotations

from alembic import op

revision = "u0013"
down_revision = "u0012"
branch_labels = None
depends_on = None

TABLES = ("access_tokens", "user_blocks", "user_idempotency_keys")


def upgrade() -> None:
    op.execute(
        "UPDATE user_blocks b SET tenant_id = u.tenant_id FROM users u"
        " WHERE u.id = b.user_id AND u.tenant_id <> b.tenant_id"
    )
    for table in ("access_tokens", "user_idempotency_keys"):
        op.execute(
            f"DELETE FROM {table} t USING users u"
            " WHERE u.id = t.user_id AND u.tenant_id <> t.tenant_id"
        )
    op.execute("ALTER TABLE users VALIDATE CONSTRAINT ck_users_roles")
    for table in TABLES:
        op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT fk_{table}_tenant_id_users")


def downgrade() -> None:
    """A validated constraint stays so."""
