"""Sealing is settled when the last transaction has ended that may hold plain rows, not by a clock.

The version before waited ten seconds, and a transaction that stayed open for longer was not seen.
"""

from __future__ import annotations

from alembic import op

revision = "u0083"
down_revision = "u0082"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(SETTLE)


def downgrade() -> None:
    op.execute("DROP FUNCTION settle_sealing()")


SETTLE = """
CREATE OR REPLACE FUNCTION settle_sealing() RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE sealing SET sealed_after = now()
    WHERE is_on AND (sealed_after IS NULL OR sealed_after > now())
$$
"""
