"""An erasure's writes become functions, so that the relay's login needs neither texts nor tables.

It could read what was said, delete anybody's rows past its steps, and give a receipt counts
of its choice. The functions delete what a closed owner has, and count it themselves.
"""

from __future__ import annotations

from alembic import op

revision = "g0015"
down_revision = "g0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for statement in (CLOSE_OWNER, CHECK_CLOSED, ERASE_KEYS, ERASE_MESSAGES, ERASE_SESSIONS):
        op.execute(statement)
    op.execute(APPEND_RECEIPT.replace("%s", DATED))


def downgrade() -> None:
    op.execute(APPEND_RECEIPT.replace("%s", ""))
    for signature in SIGNATURES:
        op.execute(f"DROP FUNCTION {signature}")


DEFINER = "SECURITY DEFINER SET search_path = public, pg_temp"

CLOSE_OWNER = f"""
CREATE FUNCTION close_owner(tenant uuid, subject uuid)
RETURNS void LANGUAGE sql {DEFINER} AS $$
    INSERT INTO owners AS o (tenant_id, user_id, state, closed_at)
    VALUES (tenant, subject, 'closed', now())
    ON CONFLICT (tenant_id, user_id) DO UPDATE SET
        state = CASE o.state WHEN 'open' THEN 'closed' ELSE o.state END,
        closed_at = excluded.closed_at
    WHERE o.state = 'open' OR o.closed_at IS NULL
$$
"""

CHECK_CLOSED = f"""
CREATE FUNCTION check_closed(tenant uuid, subject uuid)
RETURNS void LANGUAGE plpgsql {DEFINER} AS $$
BEGIN
    PERFORM FROM owners o
    WHERE o.tenant_id = tenant AND o.user_id = subject
    AND o.state <> 'open' AND o.closed_at IS NOT NULL;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'only what a closed owner has is erased' USING ERRCODE = '23514';
    END IF;
END $$
"""

ERASE_KEYS = f"""
CREATE FUNCTION erase_keys(tenant uuid, subject uuid, rows integer)
RETURNS bigint LANGUAGE plpgsql {DEFINER} AS $$
DECLARE
    deleted bigint;
BEGIN
    WITH next AS MATERIALIZED (
        SELECT first.key, row_number() OVER (ORDER BY first.key) AS place,
               sum(first.size) OVER (ORDER BY first.key) AS total
        FROM (SELECT k.key, octet_length(k.answer) AS size FROM general_idempotency_keys k
              WHERE k.tenant_id = tenant AND k.user_id = subject
              ORDER BY k.key LIMIT rows) AS first
    )
    DELETE FROM general_idempotency_keys k USING next
    WHERE k.tenant_id = tenant AND k.user_id = subject AND k.key = next.key
    AND (next.total <= rows * 65536::bigint OR next.place = 1);
    GET DIAGNOSTICS deleted = ROW_COUNT;
    IF deleted > 0 THEN
        PERFORM check_closed(tenant, subject);
    END IF;
    RETURN deleted;
END $$
"""

ERASE_MESSAGES = f"""
CREATE FUNCTION erase_messages(
    tenant uuid, subject uuid, sessions uuid[], after bigint, rows integer,
    OUT deleted bigint, OUT last_position bigint
) LANGUAGE plpgsql {DEFINER} AS $$
BEGIN
    PERFORM check_closed(tenant, subject);
    WITH doomed AS MATERIALIZED (
        SELECT m.id, m.position
        FROM chat_sessions s CROSS JOIN LATERAL (
            SELECT x.id, x.position FROM messages x
            WHERE x.tenant_id = tenant AND x.session_id = s.id AND x.position > after
            ORDER BY x.position LIMIT rows) AS m
        WHERE s.tenant_id = tenant AND s.user_id = subject AND s.id = ANY (sessions)
        LIMIT rows
    ), gone AS (
        DELETE FROM messages m USING doomed WHERE m.tenant_id = tenant AND m.id = doomed.id
        RETURNING doomed.position
    )
    SELECT count(*), max(gone.position) INTO deleted, last_position FROM gone;
    UPDATE owners o SET messages = o.messages + deleted
    WHERE o.tenant_id = tenant AND o.user_id = subject AND deleted > 0;
END $$
"""

ERASE_SESSIONS = f"""
CREATE FUNCTION erase_sessions(tenant uuid, subject uuid, sessions uuid[])
RETURNS bigint LANGUAGE plpgsql {DEFINER} AS $$
DECLARE
    deleted bigint;
BEGIN
    PERFORM check_closed(tenant, subject);
    DELETE FROM chat_sessions s
    WHERE s.tenant_id = tenant AND s.user_id = subject AND s.id = ANY (sessions)
    AND NOT EXISTS (SELECT FROM messages m WHERE m.tenant_id = tenant AND m.session_id = s.id);
    GET DIAGNOSTICS deleted = ROW_COUNT;
    UPDATE owners o SET chat_sessions = o.chat_sessions + deleted
    WHERE o.tenant_id = tenant AND o.user_id = subject;
    RETURN deleted;
END $$
"""

DATED = """
    AND o.closed_at IS NOT NULL"""

APPEND_RECEIPT = f"""
CREATE OR REPLACE FUNCTION append_receipt(tenant uuid, subject uuid) RETURNS SETOF erasure_receipts
LANGUAGE plpgsql {DEFINER} AS $$
DECLARE
    last_seq bigint;
    last_hash varchar;
    moment timestamptz;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed'
    OR current_user = session_user THEN
        RAISE EXCEPTION 'receipts are written by the relay, in READ COMMITTED'
            USING ERRCODE = '25000';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('erasure_receipts', 0));
    SELECT r.seq, r.hash INTO last_seq, last_hash
    FROM erasure_receipts r ORDER BY r.seq DESC LIMIT 1;
    IF NOT FOUND THEN
        last_seq := 0;
        last_hash := repeat('0', 64);
    END IF;
    moment := clock_timestamp();
    INSERT INTO erasure_receipts (tenant_id, user_id, seq, chat_sessions, messages, remaining,
                                  finished_at, prev_hash, hash)
    SELECT o.tenant_id, o.user_id, last_seq + 1, o.chat_sessions, o.messages,
        (SELECT count(*) FROM chat_sessions s
         WHERE s.tenant_id = tenant AND s.user_id = subject)
        + (SELECT count(*) FROM general_idempotency_keys k
           WHERE k.tenant_id = tenant AND k.user_id = subject),
        moment, last_hash,
        encode(sha256(convert_to(concat_ws('|', 'bicameral-receipt-1', last_seq + 1,
            o.tenant_id, o.user_id, o.chat_sessions, o.messages,
            to_char(moment AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
            last_hash), 'UTF8')), 'hex')
    FROM owners o
    WHERE o.tenant_id = tenant AND o.user_id = subject AND o.state <> 'open'%s
    ON CONFLICT (tenant_id, user_id) DO NOTHING;
    UPDATE owners o SET state = 'erased'
    WHERE o.tenant_id = tenant AND o.user_id = subject AND o.state = 'closed'%s;
    RETURN QUERY
    SELECT * FROM erasure_receipts r WHERE r.tenant_id = tenant AND r.user_id = subject;
END $$
"""

SIGNATURES = (
    "erase_sessions(uuid, uuid, uuid[])",
    "erase_messages(uuid, uuid, uuid[], bigint, integer)",
    "erase_keys(uuid, uuid, integer)",
    "check_closed(uuid, uuid)",
    "close_owner(uuid, uuid)",
)
