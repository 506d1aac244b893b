"""A sweep that goes on with sessions that it is told takes nothing of an owner who is held.

It looked at the sessions' age alone, so that the relay's login could delete messages of theirs.
"""

from __future__ import annotations

from alembic import op

revision = "g0063"
down_revision = "g0062"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(SWEEP_ROWS)


def downgrade() -> None:
    op.execute(SWEEP_ROWS_BEFORE)


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
    IF begun IS NOT NULL AND EXISTS (
        SELECT FROM chat_sessions s JOIN owners o ON o.tenant_id = tenant AND o.user_id = s.user_id
        WHERE s.tenant_id = tenant AND s.id = ANY (begun) AND o.held
    ) THEN
        RAISE EXCEPTION 'the owner is held' USING ERRCODE = 'BC003';
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

SWEEP_ROWS_BEFORE = """
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
