"""A database that was restored is behind what the other one has seen of it.

Beats are counted in each database and noted in the other one.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "u0064"
down_revision = "u0063"
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
    for statement in (
        HEARTBEAT,
        BEAT,
        CATCH_UP,
        END_TOKENS,
        CREDENTIALS_OF_PEOPLE,
        CREDENTIALS_OF_BACKENDS,
    ):
        op.execute(statement)


def downgrade() -> None:
    for name in (
        "credentials_of_backends",
        "credentials_of_people",
        "end_tokens",
        "catch_up",
        "beat",
        "heartbeat",
    ):
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

END_TOKENS = f"""
CREATE OR REPLACE FUNCTION end_tokens(rows integer) RETURNS bigint
LANGUAGE sql {DEFINER} AS $$
    WITH picked AS MATERIALIZED (
        SELECT t.digest FROM access_tokens t ORDER BY t.user_id LIMIT rows FOR UPDATE
    ), gone AS (
        DELETE FROM access_tokens t USING picked p WHERE t.digest = p.digest
        RETURNING t.tenant_id, t.user_id
    ), noted AS (
        INSERT INTO audit_events (tenant_id, actor_type, action, target_type, target_id)
        SELECT DISTINCT g.tenant_id, 'operator', 'token.ended', 'user', g.user_id FROM gone g
    )
    SELECT count(*) FROM gone
$$
"""

CREDENTIALS_OF_PEOPLE = f"""
CREATE OR REPLACE FUNCTION credentials_of_people(after_tenant uuid, after_user uuid, page integer)
RETURNS TABLE (tenant_id uuid, id uuid, as_of timestamptz, is_blocked boolean, roles jsonb)
LANGUAGE sql STABLE {DEFINER} AS $$
    SELECT u.tenant_id, u.id, greatest(u.updated_at, (
            SELECT e.at FROM audit_events e
            WHERE e.tenant_id = u.tenant_id AND e.target_id = u.id AND e.action <> 'token.ended'
            ORDER BY e.id DESC LIMIT 1)),
        u.is_blocked, u.roles
    FROM users u WHERE (u.tenant_id, u.id) > (after_tenant, after_user)
    ORDER BY u.tenant_id, u.id LIMIT page
$$
"""

CREDENTIALS_OF_BACKENDS = f"""
CREATE OR REPLACE FUNCTION credentials_of_backends(after_tenant uuid, after_key uuid, page integer)
RETURNS TABLE (tenant_id uuid, id uuid, as_of timestamptz)
LANGUAGE sql STABLE {DEFINER} AS $$
    SELECT k.tenant_id, k.id, greatest(k.created_at, k.last_used_at)
    FROM api_keys k WHERE (k.tenant_id, k.id) > (after_tenant, after_key)
    ORDER BY k.tenant_id, k.id LIMIT page
$$
"""
