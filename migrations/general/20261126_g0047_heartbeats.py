"""A database that was restored is behind what the other one has seen of it.

Beats are counted in each database and noted in the other one.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "g0047"
down_revision = "g0046"
branch_labels = None
depends_on = None

DEFINER = "SECURITY DEFINER SET search_path = public, pg_temp"


def upgrade() -> None:
    op.create_table(
        "heartbeats",
        sa.Column("beat", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("beat_at", sa.DateTime(timezone=True)),
        sa.Column("seen", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True)),
    )
    op.execute("INSERT INTO heartbeats DEFAULT VALUES")
    for statement in (HEARTBEAT, BEAT, CATCH_UP, ACTIVE_SINCE):
        op.execute(statement)


def downgrade() -> None:
    for name in ("active_since", "catch_up", "beat", "heartbeat"):
        op.execute(f"DROP FUNCTION {name}")
    op.drop_table("heartbeats")


HEARTBEAT = f"""
CREATE OR REPLACE FUNCTION heartbeat()
RETURNS TABLE (beat bigint, beat_at timestamptz, seen bigint, seen_at timestamptz)
LANGUAGE sql STABLE {DEFINER} AS $$
    SELECT h.beat, h.beat_at, h.seen, h.seen_at FROM heartbeats h
$$
"""

BEAT = f"""
CREATE OR REPLACE FUNCTION beat(known bigint, other bigint, other_at timestamptz, pause interval)
RETURNS TABLE (beat bigint, beat_at timestamptz, seen bigint, seen_at timestamptz)
LANGUAGE sql {DEFINER} AS $$
    UPDATE heartbeats h
    SET beat = CASE WHEN h.beat < known THEN h.beat ELSE h.beat + 1 END,
        beat_at = CASE WHEN h.beat < known THEN h.beat_at ELSE clock_timestamp() END,
        seen = greatest(h.seen, other),
        seen_at = CASE WHEN h.seen < other THEN other_at ELSE h.seen_at END
    WHERE h.beat_at IS NULL OR h.beat_at <= clock_timestamp() - pause;
    SELECT h.beat, h.beat_at, h.seen, h.seen_at FROM heartbeats h
$$
"""

CATCH_UP = f"""
CREATE OR REPLACE FUNCTION catch_up(known bigint) RETURNS void
LANGUAGE sql {DEFINER} AS $$
    UPDATE heartbeats h SET beat = known, beat_at = clock_timestamp() WHERE h.beat < known
$$
"""

ACTIVE_SINCE = f"""
CREATE OR REPLACE FUNCTION active_since(moment timestamptz, tenants uuid[], subjects uuid[])
RETURNS TABLE (tenant_id uuid, user_id uuid) LANGUAGE sql STABLE {DEFINER} AS $$
    WITH asked AS MATERIALIZED (
        SELECT * FROM unnest(tenants, subjects) AS k (tenant_id, user_id)
    )
    SELECT DISTINCT s.tenant_id, s.user_id FROM chat_sessions s
    JOIN asked k ON k.tenant_id = s.tenant_id AND k.user_id = s.user_id
    WHERE s.updated_at >= moment
$$
"""
