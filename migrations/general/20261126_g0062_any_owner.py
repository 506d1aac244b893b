"""A service that seals starts on Citus, which refuses EXISTS over all shards without a column."""

from __future__ import annotations

from alembic import op

revision = "g0062"
down_revision = "g0061"
branch_labels = None
depends_on = None

NOTHING_WAS_SAID = """
CREATE OR REPLACE FUNCTION nothing_was_said() RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT NOT EXISTS ({})
$$
"""


def upgrade() -> None:
    op.execute(NOTHING_WAS_SAID.format("SELECT 1 FROM owners LIMIT 1"))


def downgrade() -> None:
    op.execute(NOTHING_WAS_SAID.format("SELECT FROM owners"))
