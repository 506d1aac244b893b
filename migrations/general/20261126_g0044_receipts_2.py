"""Receipts of version 2: of erasures and of retention, with a hash over every member of a line.

Those of before stay as they are. The version before appends by the same function, and so writes
receipts of version 2 from here on.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "g0044"
down_revision = "g0043"
branch_labels = None
depends_on = None

TABLE = "erasure_receipts"
KINDS = "kind IN ('erasure', 'retention') AND (kind = 'retention') = (cutoff IS NOT NULL)"


def upgrade() -> None:
    op.add_column(TABLE, sa.Column("v", sa.Integer(), server_default=sa.text("1"), nullable=False))
    kind = sa.Column("kind", sa.String(20), server_default=sa.text("'erasure'"), nullable=False)
    op.add_column(TABLE, kind)
    op.add_column(TABLE, sa.Column("cutoff", sa.DateTime(timezone=True)))
    # The next revision looks at the receipts that are there.
    op.execute(f"ALTER TABLE {TABLE} ADD CONSTRAINT ck_{TABLE}_kind CHECK ({KINDS}) NOT VALID")
    for statement in (HASH, LOCK, LINK, APPEND, BROKEN):
        op.execute(statement)


def downgrade() -> None:
    """The chain stays; to the version before, its receipts of version 2 are broken ones."""
    for statement in (APPEND_BEFORE, BROKEN_BEFORE):
        op.execute(statement)
    op.execute("DROP FUNCTION link_receipt(jsonb)")
    op.execute("DROP FUNCTION lock_receipts()")
    op.execute("DROP FUNCTION receipt_hash(erasure_receipts)")
    for column in ("cutoff", "kind", "v"):
        op.drop_column(TABLE, column)


DEFINER = "SECURITY DEFINER SET search_path = public, pg_temp"

HASH = """
CREATE FUNCTION receipt_hash(receipt erasure_receipts) RETURNS varchar
LANGUAGE sql STABLE AS $$
    SELECT encode(sha256(convert_to(CASE
        WHEN receipt.v = 1 AND receipt.kind = 'erasure' THEN concat_ws('|',
            'bicameral-receipt-1', receipt.seq, receipt.tenant_id, receipt.user_id,
            receipt.chat_sessions, receipt.messages,
            to_char(receipt.finished_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
            receipt.prev_hash)
        WHEN receipt.v = 2 THEN concat_ws('|', 'bicameral-receipt-2',
            'chat_sessions=' || receipt.chat_sessions,
            'cutoff='
                || to_char(receipt.cutoff AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
            'finished_at='
                || to_char(receipt.finished_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
            'kind=' || receipt.kind,
            'messages=' || receipt.messages,
            'prev_hash=' || receipt.prev_hash,
            'seq=' || receipt.seq,
            'tenant_id=' || receipt.tenant_id,
            'user_id=' || receipt.user_id,
            'v=' || receipt.v)
        END, 'UTF8')), 'hex')
$$
"""

LOCK = """
CREATE FUNCTION lock_receipts() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed'
    OR current_user = session_user THEN
        RAISE EXCEPTION 'receipts are written by the relay, in READ COMMITTED'
            USING ERRCODE = '25000';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('erasure_receipts', 0));
END $$
"""

LINK = """
CREATE FUNCTION link_receipt(facts jsonb) RETURNS erasure_receipts
LANGUAGE plpgsql AS $$
DECLARE
    last_seq bigint;
    last_hash varchar;
    receipt erasure_receipts;
BEGIN
    SELECT r.seq, r.hash INTO last_seq, last_hash
    FROM erasure_receipts r ORDER BY r.seq DESC LIMIT 1;
    receipt := jsonb_populate_record(NULL::erasure_receipts, facts || jsonb_build_object(
        'v', 2, 'seq', coalesce(last_seq, 0) + 1, 'finished_at', clock_timestamp(),
        'prev_hash', coalesce(last_hash, repeat('0', 64))));
    RETURN jsonb_populate_record(receipt, jsonb_build_object('hash', receipt_hash(receipt)));
END $$
"""

APPEND = f"""
CREATE OR REPLACE FUNCTION append_receipt(tenant uuid, subject uuid) RETURNS SETOF erasure_receipts
LANGUAGE plpgsql {DEFINER} AS $$
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
    FOR UPDATE;
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

BROKEN = f"""
CREATE OR REPLACE FUNCTION broken_receipts()
RETURNS TABLE (tenant_id uuid, user_id uuid, seq bigint) LANGUAGE sql STABLE {DEFINER} AS $$
    SELECT r.tenant_id, r.user_id, r.seq
    FROM (SELECT e.tenant_id, e.user_id, e.seq, e.prev_hash, e.hash, receipt_hash(e) AS true_hash,
                 lag(e.seq) OVER (ORDER BY e.seq) AS seq_before,
                 lag(e.hash) OVER (ORDER BY e.seq) AS hash_before
          FROM erasure_receipts e) AS r
    WHERE r.seq <> coalesce(r.seq_before, 0) + 1
    OR r.prev_hash <> coalesce(r.hash_before, repeat('0', 64))
    OR r.hash IS DISTINCT FROM r.true_hash
    ORDER BY r.seq
$$
"""

APPEND_BEFORE = f"""
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
    WHERE o.tenant_id = tenant AND o.user_id = subject AND o.state <> 'open'
    AND o.closed_at IS NOT NULL
    ON CONFLICT (tenant_id, user_id) DO NOTHING;
    UPDATE owners o SET state = 'erased'
    WHERE o.tenant_id = tenant AND o.user_id = subject AND o.state = 'closed'
    AND o.closed_at IS NOT NULL;
    RETURN QUERY
    SELECT * FROM erasure_receipts r WHERE r.tenant_id = tenant AND r.user_id = subject;
END $$
"""

BROKEN_BEFORE = f"""
CREATE OR REPLACE FUNCTION broken_receipts()
RETURNS TABLE (tenant_id uuid, user_id uuid, seq bigint) LANGUAGE sql STABLE {DEFINER} AS $$
    SELECT r.tenant_id, r.user_id, r.seq
    FROM (SELECT *, lag(e.seq) OVER (ORDER BY e.seq) AS seq_before,
                 lag(e.hash) OVER (ORDER BY e.seq) AS hash_before
          FROM erasure_receipts e) AS r
    WHERE r.seq <> coalesce(r.seq_before, 0) + 1
    OR r.prev_hash <> coalesce(r.hash_before, repeat('0', 64))
    OR r.hash <> encode(sha256(convert_to(concat_ws('|', 'bicameral-receipt-1', r.seq,
        r.tenant_id, r.user_id, r.chat_sessions, r.messages,
        to_char(r.finished_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        r.prev_hash), 'UTF8')), 'hex')
    ORDER BY r.seq
$$
"""
