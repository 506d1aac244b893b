"""An installation in which nobody has said anything may be sealed from its first row on."""

from __future__ import annotations

from alembic import op

revision = "g0046"
down_revision = "g0045"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(NOTHING_WAS_SAID)


def downgrade() -> None:
    op.execute("DROP FUNCTION nothing_was_said()")


NOTHING_WAS_SAID = """
CREATE OR REPLACE FUNCTION nothing_was_said() RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT NOT EXISTS (SELECT FROM owners)
$$
"""
