"""Erasures of one tenant's users are done together: owners closed, rows deleted, receipts appended.

The functions for one user stay, for the version before.
"""

from __future__ import annotations

from alembic import op

revision = "g0053"
down_revision = "g0052"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for statement in (CLOSE_OWNERS, ERASE_ROWS, APPEND_RECEIPTS):
        op.execute(statement)
    op.execute(APPEND_RECEIPT % "FOR NO KEY UPDATE")


def downgrade() -> None:
    op.execute(APPEND_RECEIPT % "FOR UPDATE")
    for name in ("append_receipts", "erase_rows", "close_owners"):
        op.execute(f"DROP FUNCTION {name}")


CLOSE_OWNERS = """
CREATE FUNCTION close_owners(tenant uuid, subjects uuid[])
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    subject uuid;
BEGIN
    FOR subject IN SELECT one FROM unnest(subjects) AS one ORDER BY one LOOP
        PERFORM close_owner(tenant, subject);
    END LOOP;
END $$
"""

ERASE_ROWS = """
CREATE FUNCTION erase_rows(
    tenant uuid, subjects uuid[], rows integer,
    INOUT at_session uuid, INOUT at_position bigint,
    OUT deleted_sessions bigint, OUT deleted_messages bigint, OUT remaining uuid[]
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    subject uuid;
    taken uuid[];
    deleted_keys bigint;
    last_position bigint;
BEGIN
    FOR subject IN
        SELECT o.user_id FROM owners o
        WHERE o.tenant_id = tenant AND o.user_id = ANY (subjects)
        ORDER BY o.user_id FOR NO KEY UPDATE
    LOOP
        PERFORM check_closed(tenant, subject);
    END LOOP;
    deleted_sessions := 0;
    deleted_messages := 0;

    WITH first AS (
        SELECT k.user_id, k.key, k.size
        FROM owners o CROSS JOIN LATERAL (
            SELECT x.user_id, x.key,
                   coalesce(octet_length(coalesce(x.answer, x.sealed)), 0) AS size
            FROM general_idempotency_keys x
            WHERE x.tenant_id = tenant AND x.user_id = o.user_id ORDER BY x.key LIMIT rows) AS k
        WHERE o.tenant_id = tenant AND o.user_id = ANY (subjects)
        ORDER BY k.user_id, k.key LIMIT rows
    ), next AS MATERIALIZED (
        SELECT first.user_id, first.key, row_number() OVER so_far AS place,
               sum(first.size) OVER so_far AS total
        FROM first WINDOW so_far AS (ORDER BY first.user_id, first.key)
    )
    DELETE FROM general_idempotency_keys k USING next
    WHERE k.tenant_id = tenant AND k.user_id = next.user_id AND k.key = next.key
    AND (next.total <= rows * 65536::bigint OR next.place = 1);
    GET DIAGNOSTICS deleted_keys = ROW_COUNT;

    IF deleted_keys = 0 THEN
        WITH first AS (
            SELECT s.id, s.user_id, s.message_count
            FROM owners o CROSS JOIN LATERAL (
                SELECT x.id, x.user_id, x.message_count FROM chat_sessions x
                WHERE x.tenant_id = tenant AND x.user_id = o.user_id ORDER BY x.id LIMIT rows) AS s
            WHERE o.tenant_id = tenant AND o.user_id = ANY (subjects)
            ORDER BY s.user_id, s.id LIMIT rows
        ), next AS MATERIALIZED (
            SELECT first.id, row_number() OVER so_far AS place,
                   sum(first.message_count + 1) OVER so_far AS total
            FROM first WINDOW so_far AS (ORDER BY first.user_id, first.id)
        )
        SELECT array_agg(locked.id) INTO taken
        FROM (
            SELECT s.id FROM chat_sessions s JOIN next ON next.id = s.id
            WHERE s.tenant_id = tenant AND s.user_id = ANY (subjects)
            AND (next.total <= rows OR next.place = 1)
            ORDER BY s.id FOR UPDATE OF s) AS locked;

        WITH doomed AS MATERIALIZED (
            SELECT m.id, m.position, s.user_id
            FROM chat_sessions s CROSS JOIN LATERAL (
                SELECT x.id, x.position FROM messages x
                WHERE x.tenant_id = tenant AND x.session_id = s.id
                AND x.position > CASE WHEN s.id = at_session THEN at_position ELSE 0 END
                ORDER BY x.position LIMIT rows) AS m
            WHERE s.tenant_id = tenant AND s.id = ANY (taken)
            LIMIT rows
        ), gone AS (
            DELETE FROM messages m USING doomed WHERE m.tenant_id = tenant AND m.id = doomed.id
            RETURNING doomed.user_id, doomed.position
        ), counted AS (
            SELECT gone.user_id, count(*) AS number, max(gone.position) AS last
            FROM gone GROUP BY gone.user_id
        ), noted AS (
            UPDATE owners o SET messages = o.messages + counted.number FROM counted
            WHERE o.tenant_id = tenant AND o.user_id = counted.user_id
        )
        SELECT coalesce(sum(counted.number), 0), max(counted.last)
        INTO deleted_messages, last_position FROM counted;
    END IF;

    at_session := NULL;
    at_position := NULL;
    IF deleted_messages = rows AND cardinality(taken) = 1 THEN
        at_session := taken[1];
        at_position := last_position;
    ELSIF taken IS NOT NULL THEN
        WITH gone AS (
            DELETE FROM chat_sessions s
            WHERE s.tenant_id = tenant AND s.user_id = ANY (subjects) AND s.id = ANY (taken)
            AND NOT EXISTS (
                SELECT FROM messages m WHERE m.tenant_id = tenant AND m.session_id = s.id)
            RETURNING s.user_id
        ), counted AS (
            SELECT gone.user_id, count(*) AS number FROM gone GROUP BY gone.user_id
        ), noted AS (
            UPDATE owners o SET chat_sessions = o.chat_sessions + counted.number FROM counted
            WHERE o.tenant_id = tenant AND o.user_id = counted.user_id
        )
        SELECT coalesce(sum(counted.number), 0) INTO deleted_sessions FROM counted;
    END IF;

    remaining := ARRAY(
        SELECT o.user_id FROM owners o
        WHERE o.tenant_id = tenant AND o.user_id = ANY (subjects)
        AND (EXISTS (SELECT FROM chat_sessions s
                     WHERE s.tenant_id = tenant AND s.user_id = o.user_id)
             OR EXISTS (SELECT FROM general_idempotency_keys k
                        WHERE k.tenant_id = tenant AND k.user_id = o.user_id))
        ORDER BY o.user_id);
END $$
"""

APPEND_RECEIPTS = """
CREATE FUNCTION append_receipts(tenant uuid, subjects uuid[])
RETURNS SETOF erasure_receipts
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    subject uuid;
BEGIN
    FOR subject IN SELECT one FROM unnest(subjects) AS one ORDER BY one LOOP
        RETURN QUERY SELECT * FROM append_receipt(tenant, subject);
    END LOOP;
END $$
"""

# The owner is locked for its counts only. A drain is what waits for those who lock its key.
APPEND_RECEIPT = """
CREATE OR REPLACE FUNCTION append_receipt(tenant uuid, subject uuid) RETURNS SETOF erasure_receipts
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    facts jsonb;
BEGIN
    PERFORM lock_receipts();
    SELECT jsonb_build_object('tenant_id', o.tenant_id, 'user_id', o.user_id, 'kind', 'erasure',
                              'chat_sessions', o.chat_sessions, 'messages', o.messages)
    INTO facts
    FROM owners o
    WHERE o.tenant_id = tenant AND o.user_id = subject AND o.state <> 'open'
    AND o.closed_at IS NOT NULL
    %s;
    IF FOUND THEN
        INSERT INTO erasure_receipts (tenant_id, user_id, seq, chat_sessions, messages, remaining,
                                      finished_at, prev_hash, hash, v, kind)
        SELECT r.tenant_id, r.user_id, r.seq, r.chat_sessions, r.messages,
            (SELECT count(*) FROM chat_sessions s
             WHERE s.tenant_id = tenant AND s.user_id = subject)
            + (SELECT count(*) FROM general_idempotency_keys k
               WHERE k.tenant_id = tenant AND k.user_id = subject),
            r.finished_at, r.prev_hash, r.hash, r.v, r.kind
        FROM link_receipt(facts) AS r
        ON CONFLICT (tenant_id, user_id) DO NOTHING;
        UPDATE owners o SET state = 'erased'
        WHERE o.tenant_id = tenant AND o.user_id = subject AND o.state = 'closed';
    END IF;
    RETURN QUERY
    SELECT * FROM erasure_receipts r WHERE r.tenant_id = tenant AND r.user_id = subject;
END $$
"""
