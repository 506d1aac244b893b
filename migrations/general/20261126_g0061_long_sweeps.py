"""A sweep that empties a very long conversation does not read again what it has deleted.

It is one transaction of many statements, and each read the dead index entries of all before it.
"""

from __future__ import annotations

from alembic import op

revision = "g0061"
down_revision = "g0060"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for function in (SWEEP_ROWS, SWEEP_SESSIONS):
        op.execute(function)


def downgrade() -> None:
    op.execute(SWEEP_SESSIONS_BEFORE)
    op.execute("DROP FUNCTION sweep_rows")


SWEEP_ROWS = """
CREATE OR REPLACE FUNCTION sweep_rows(
    tenant uuid, days integer, rows integer, begun uuid[], passed bigint,
    OUT taken uuid[], OUT sessions bigint, OUT messages bigint, OUT last_position bigint
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    changed_before timestamptz := CASE WHEN days >= 1 THEN now() - days * interval '24 hours' END;
BEGIN
    taken := coalesce(begun, lock_overdue(tenant, days, rows));
    sessions := 0;
    messages := 0;
    IF taken IS NULL THEN
        RETURN;
    END IF;
    WITH doomed AS MATERIALIZED (
        SELECT m.id, m.position
        FROM chat_sessions s CROSS JOIN LATERAL (
            SELECT x.id, x.position FROM messages x
            WHERE x.tenant_id = tenant AND x.session_id = s.id
            AND x.position > CASE WHEN cardinality(taken) = 1 THEN passed ELSE 0 END
            ORDER BY x.position LIMIT rows) AS m
        WHERE s.tenant_id = tenant AND s.id = ANY (taken)
        AND (s.updated_at < changed_before OR s.expires_at <= now())
        LIMIT rows
    ), gone AS (
        DELETE FROM messages m USING doomed WHERE m.tenant_id = tenant AND m.id = doomed.id
        RETURNING doomed.position
    )
    SELECT count(*), max(gone.position) INTO messages, last_position FROM gone;
    IF messages < rows THEN
        DELETE FROM chat_sessions s
        WHERE s.tenant_id = tenant AND s.id = ANY (taken)
        AND (s.updated_at < changed_before OR s.expires_at <= now())
        AND NOT EXISTS (SELECT FROM messages m WHERE m.tenant_id = tenant AND m.session_id = s.id);
        GET DIAGNOSTICS sessions = ROW_COUNT;
    END IF;
    IF sessions + messages > 0 THEN
        INSERT INTO retention_tallies AS t (tenant_id, day, chat_sessions, messages, cutoff)
        VALUES (tenant, (now() AT TIME ZONE 'UTC')::date, sessions, messages,
                coalesce(changed_before, now()))
        ON CONFLICT (tenant_id, day) DO UPDATE SET
            chat_sessions = t.chat_sessions + excluded.chat_sessions,
            messages = t.messages + excluded.messages,
            cutoff = greatest(t.cutoff, excluded.cutoff);
    END IF;
END $$
"""

SWEEP_SESSIONS = """
CREATE OR REPLACE FUNCTION sweep_sessions(
    tenant uuid, days integer, rows integer, begun uuid[],
    OUT taken uuid[], OUT sessions bigint, OUT messages bigint
) LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT r.taken, r.sessions, r.messages FROM sweep_rows(tenant, days, rows, begun, 0) AS r
$$
"""

SWEEP_SESSIONS_BEFORE = """
CREATE OR REPLACE FUNCTION sweep_sessions(
    tenant uuid, days integer, rows integer, begun uuid[],
    OUT taken uuid[], OUT sessions bigint, OUT messages bigint
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    changed_before timestamptz := CASE WHEN days >= 1 THEN now() - days * interval '24 hours' END;
BEGIN
    taken := coalesce(begun, lock_overdue(tenant, days, rows));
    sessions := 0;
    messages := 0;
    IF taken IS NULL THEN
        RETURN;
    END IF;
    WITH doomed AS MATERIALIZED (
        SELECT m.id
        FROM chat_sessions s CROSS JOIN LATERAL (
            SELECT x.id FROM messages x
            WHERE x.tenant_id = tenant AND x.session_id = s.id LIMIT rows) AS m
        WHERE s.tenant_id = tenant AND s.id = ANY (taken)
        AND (s.updated_at < changed_before OR s.expires_at <= now())
        LIMIT rows
    )
    DELETE FROM messages m USING doomed WHERE m.tenant_id = tenant AND m.id = doomed.id;
    GET DIAGNOSTICS messages = ROW_COUNT;
    IF messages < rows THEN
        DELETE FROM chat_sessions s
        WHERE s.tenant_id = tenant AND s.id = ANY (taken)
        AND (s.updated_at < changed_before OR s.expires_at <= now())
        AND NOT EXISTS (SELECT FROM messages m WHERE m.tenant_id = tenant AND m.session_id = s.id);
        GET DIAGNOSTICS sessions = ROW_COUNT;
    END IF;
    IF sessions + messages > 0 THEN
        INSERT INTO retention_tallies AS t (tenant_id, day, chat_sessions, messages, cutoff)
        VALUES (tenant, (now() AT TIME ZONE 'UTC')::date, sessions, messages,
                coalesce(changed_before, now()))
        ON CONFLICT (tenant_id, day) DO UPDATE SET
            chat_sessions = t.chat_sessions + excluded.chat_sessions,
            messages = t.messages + excluded.messages,
            cutoff = greatest(t.cutoff, excluded.cutoff);
    END IF;
END $$
"""
