"""Three functions take the form that a sharded database runs, too; what they return is the same.

LATERAL, recursion and FOR UPDATE across tenants go. app/databases/sql/general says why each is as
it is.
"""

from __future__ import annotations

from alembic import op

revision = "g0010"
down_revision = "g0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for statement in (FACTS, STRAY, EXPIRE):
        op.execute(statement)


def downgrade() -> None:
    for statement in (FACTS_BEFORE, STRAY_BEFORE, EXPIRE_BEFORE):
        op.execute(statement)


DEFINER = "SECURITY DEFINER SET search_path = public, pg_temp"

FACTS = f"""
CREATE OR REPLACE FUNCTION owner_facts(tenants uuid[], subjects uuid[])
RETURNS TABLE (tenant_id uuid, user_id uuid, state varchar, is_dated boolean, receipt varchar,
               has_sessions boolean)
LANGUAGE sql STABLE {DEFINER} AS $$
    WITH asked AS MATERIALIZED (
        SELECT * FROM unnest(tenants, subjects) AS k (tenant_id, user_id)
    ), owned AS MATERIALIZED (
        SELECT o.tenant_id, o.user_id, o.state, o.closed_at IS NOT NULL AS is_dated
        FROM owners o JOIN asked k ON k.tenant_id = o.tenant_id AND k.user_id = o.user_id
    ), receipted AS MATERIALIZED (
        SELECT r.tenant_id, r.user_id, r.hash FROM erasure_receipts r
        JOIN asked k ON k.tenant_id = r.tenant_id AND k.user_id = r.user_id
    ), known AS MATERIALIZED (
        SELECT k.tenant_id, k.user_id, o.state, coalesce(o.is_dated, false) AS is_dated, r.hash
        FROM asked k
        LEFT JOIN owned o ON o.tenant_id = k.tenant_id AND o.user_id = k.user_id
        LEFT JOIN receipted r ON r.tenant_id = k.tenant_id AND r.user_id = k.user_id
        WHERE o.state IS DISTINCT FROM 'open' OR r.hash IS NOT NULL
    ), holding AS MATERIALIZED (
        SELECT s.tenant_id, s.user_id FROM chat_sessions s
        JOIN known k ON k.tenant_id = s.tenant_id AND k.user_id = s.user_id
        UNION
        SELECT i.tenant_id, i.user_id FROM general_idempotency_keys i
        JOIN known k ON k.tenant_id = i.tenant_id AND k.user_id = i.user_id
    )
    SELECT k.tenant_id, k.user_id, k.state, k.is_dated, k.hash, h.user_id IS NOT NULL
    FROM known k LEFT JOIN holding h ON h.tenant_id = k.tenant_id AND h.user_id = k.user_id
$$
"""

STRAY = f"""
CREATE OR REPLACE FUNCTION stray_messages()
RETURNS TABLE (tenant_id uuid, session_id uuid) LANGUAGE sql STABLE {DEFINER}
AS $$
    SELECT DISTINCT m.tenant_id, m.session_id FROM messages m
    WHERE NOT EXISTS (SELECT FROM chat_sessions s
                      WHERE s.tenant_id = m.tenant_id AND s.id = m.session_id)
$$
"""

EXPIRE = f"""
CREATE OR REPLACE FUNCTION expire_keys(rows integer)
RETURNS bigint LANGUAGE plpgsql {DEFINER} AS $$
DECLARE
    tenant uuid;
    users uuid[];
    names varchar[];
    deleted bigint;
    total bigint := 0;
BEGIN
    FOR tenant, users, names IN
        SELECT e.tenant_id, array_agg(e.user_id), array_agg(e.key)
        FROM (SELECT k.tenant_id, k.user_id, k.key FROM general_idempotency_keys k
              WHERE k.expires_at <= now() ORDER BY k.expires_at LIMIT rows) AS e
        GROUP BY e.tenant_id
    LOOP
        WITH expired AS MATERIALIZED (
            SELECT k.user_id, k.key FROM general_idempotency_keys k
            JOIN unnest(users, names) AS e (user_id, key)
            ON e.user_id = k.user_id AND e.key = k.key
            WHERE k.tenant_id = tenant AND k.expires_at <= now()
            FOR UPDATE OF k SKIP LOCKED
        )
        DELETE FROM general_idempotency_keys k USING expired e
        WHERE k.tenant_id = tenant AND k.user_id = e.user_id AND k.key = e.key;
        GET DIAGNOSTICS deleted = ROW_COUNT;
        total := total + deleted;
    END LOOP;
    RETURN total;
END $$
"""

FACTS_BEFORE = f"""
CREATE OR REPLACE FUNCTION owner_facts(tenants uuid[], subjects uuid[])
RETURNS TABLE (tenant_id uuid, user_id uuid, state varchar, is_dated boolean, receipt varchar,
               has_sessions boolean)
LANGUAGE sql STABLE {DEFINER} AS $$
    SELECT k.tenant_id, k.user_id, o.state, o.closed_at IS NOT NULL, r.hash,
        EXISTS (SELECT FROM chat_sessions s
                WHERE s.tenant_id = k.tenant_id AND s.user_id = k.user_id)
        OR EXISTS (SELECT FROM general_idempotency_keys i
                   WHERE i.tenant_id = k.tenant_id AND i.user_id = k.user_id)
    FROM unnest(tenants, subjects) AS k (tenant_id, user_id)
    LEFT JOIN owners o ON o.tenant_id = k.tenant_id AND o.user_id = k.user_id
    LEFT JOIN erasure_receipts r ON r.tenant_id = k.tenant_id AND r.user_id = k.user_id
    WHERE o.state IS DISTINCT FROM 'open' OR r.hash IS NOT NULL
$$
"""

STRAY_BEFORE = f"""
CREATE OR REPLACE FUNCTION stray_messages()
RETURNS TABLE (tenant_id uuid, session_id uuid) LANGUAGE sql STABLE {DEFINER} AS $$
    WITH RECURSIVE told AS (
        (SELECT m.tenant_id, m.session_id FROM messages m
         ORDER BY m.tenant_id, m.session_id LIMIT 1)
        UNION ALL
        SELECT next.tenant_id, next.session_id FROM told CROSS JOIN LATERAL (
            SELECT m.tenant_id, m.session_id FROM messages m
            WHERE (m.tenant_id, m.session_id) > (told.tenant_id, told.session_id)
            ORDER BY m.tenant_id, m.session_id LIMIT 1) AS next
    )
    SELECT told.tenant_id, told.session_id FROM told
    WHERE NOT EXISTS (SELECT FROM chat_sessions s
                      WHERE s.tenant_id = told.tenant_id AND s.id = told.session_id)
$$
"""

EXPIRE_BEFORE = f"""
CREATE OR REPLACE FUNCTION expire_keys(rows integer) RETURNS bigint LANGUAGE sql {DEFINER} AS $$
    WITH expired AS MATERIALIZED (
        SELECT k.tenant_id, k.user_id, k.key FROM general_idempotency_keys k
        WHERE k.expires_at <= now() ORDER BY k.expires_at LIMIT rows FOR UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM general_idempotency_keys k USING expired e
        WHERE k.tenant_id = e.tenant_id AND k.user_id = e.user_id AND k.key = e.key
        RETURNING 1
    )
    SELECT count(*) FROM gone
$$
"""
