"""The receipt of an erasure says what became of the person's key."""

from __future__ import annotations

from alembic import op

revision = "g0060"
down_revision = "g0056"
branch_labels = None
depends_on = None

COLUMNS = (
    "sealed boolean",
    "key_destroyed_at timestamptz",
    "unrecoverable_after timestamptz",
)


def upgrade() -> None:
    columns = ", ".join(f"ADD COLUMN {column}" for column in COLUMNS)
    op.execute(f"ALTER TABLE erasure_receipts {columns}")
    op.execute("-- squawk-ignore ban-drop-function\nDROP FUNCTION append_receipts(uuid, uuid[])")
    for function in (RECEIPT_HASH, APPEND_RECEIPT_OF, APPEND_RECEIPT, APPEND_RECEIPTS):
        op.execute(function)


def downgrade() -> None:
    op.execute("DROP FUNCTION append_receipts(uuid, uuid[], jsonb)")
    for function in (RECEIPT_HASH_BEFORE, APPEND_RECEIPT_BEFORE, APPEND_RECEIPTS_BEFORE):
        op.execute(function)
    op.execute("DROP FUNCTION append_receipt_of(uuid, uuid, jsonb)")
    columns = ", ".join(f"DROP COLUMN {column.split()[0]}" for column in COLUMNS)
    op.execute(f"ALTER TABLE erasure_receipts {columns}")


APPEND_RECEIPT = """
CREATE OR REPLACE FUNCTION append_receipt(tenant uuid, subject uuid) RETURNS SETOF erasure_receipts
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT * FROM append_receipt_of(tenant, subject, '{}')
$$
"""

APPEND_RECEIPT_OF = """
CREATE OR REPLACE FUNCTION append_receipt_of(tenant uuid, subject uuid, key jsonb)
RETURNS SETOF erasure_receipts
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    facts jsonb;
    receipt erasure_receipts;
BEGIN
    PERFORM lock_receipts();
    SELECT key || jsonb_build_object(
        'tenant_id', o.tenant_id, 'user_id', o.user_id, 'kind', 'erasure',
        'chat_sessions', o.chat_sessions, 'messages', o.messages)
    INTO facts
    FROM owners o
    WHERE o.tenant_id = tenant AND o.user_id = subject AND o.state <> 'open'
    AND o.closed_at IS NOT NULL
    FOR NO KEY UPDATE;
    IF FOUND THEN
        receipt := link_receipt(facts);
        INSERT INTO erasure_receipts (tenant_id, user_id, seq, chat_sessions, messages, remaining,
                                      finished_at, prev_hash, hash, v, kind, sealed,
                                      key_destroyed_at, unrecoverable_after)
        SELECT o.tenant_id, o.user_id, receipt.seq, receipt.chat_sessions, receipt.messages,
            (SELECT count(*) FROM chat_sessions s
             WHERE s.tenant_id = tenant AND s.user_id = subject)
            + (SELECT count(*) FROM general_idempotency_keys k
               WHERE k.tenant_id = tenant AND k.user_id = subject),
            receipt.finished_at, receipt.prev_hash, receipt.hash, receipt.v, receipt.kind,
            receipt.sealed, receipt.key_destroyed_at, receipt.unrecoverable_after
        FROM owners o WHERE o.tenant_id = tenant AND o.user_id = subject
        ON CONFLICT (tenant_id, user_id) DO NOTHING;
        UPDATE owners o SET state = 'erased'
        WHERE o.tenant_id = tenant AND o.user_id = subject AND o.state = 'closed';
    END IF;
    RETURN QUERY
    SELECT * FROM erasure_receipts r WHERE r.tenant_id = tenant AND r.user_id = subject;
END $$
"""

APPEND_RECEIPTS = """
CREATE OR REPLACE FUNCTION append_receipts(tenant uuid, subjects uuid[], keys jsonb)
RETURNS SETOF erasure_receipts
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    subject uuid;
BEGIN
    FOR subject IN SELECT one FROM unnest(subjects) AS one ORDER BY one LOOP
        RETURN QUERY SELECT * FROM append_receipt_of(tenant, subject,
            coalesce(keys -> subject::text, '{}'));
    END LOOP;
END $$
"""

RECEIPT_HASH = """
CREATE OR REPLACE FUNCTION receipt_hash(receipt erasure_receipts) RETURNS varchar
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
            'key_destroyed_at=' || to_char(
                receipt.key_destroyed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
            'kind=' || receipt.kind,
            'messages=' || receipt.messages,
            'prev_hash=' || receipt.prev_hash,
            'sealed=' || receipt.sealed,
            'seq=' || receipt.seq,
            'tenant_id=' || receipt.tenant_id,
            'unrecoverable_after=' || to_char(
                receipt.unrecoverable_after AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
            'user_id=' || receipt.user_id,
            'v=' || receipt.v)
        END, 'UTF8')), 'hex')
$$
"""

APPEND_RECEIPT_BEFORE = """
CREATE OR REPLACE FUNCTION append_receipt(tenant uuid, subject uuid) RETURNS SETOF erasure_receipts
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    facts jsonb;
    receipt erasure_receipts;
BEGIN
    PERFORM lock_receipts();
    SELECT jsonb_build_object('tenant_id', o.tenant_id, 'user_id', o.user_id, 'kind', 'erasure',
                              'chat_sessions', o.chat_sessions, 'messages', o.messages)
    INTO facts
    FROM owners o
    WHERE o.tenant_id = tenant AND o.user_id = subject AND o.state <> 'open'
    AND o.closed_at IS NOT NULL
    FOR NO KEY UPDATE;
    IF FOUND THEN
        receipt := link_receipt(facts);
        INSERT INTO erasure_receipts (tenant_id, user_id, seq, chat_sessions, messages, remaining,
                                      finished_at, prev_hash, hash, v, kind)
        SELECT o.tenant_id, o.user_id, receipt.seq, receipt.chat_sessions, receipt.messages,
            (SELECT count(*) FROM chat_sessions s
             WHERE s.tenant_id = tenant AND s.user_id = subject)
            + (SELECT count(*) FROM general_idempotency_keys k
               WHERE k.tenant_id = tenant AND k.user_id = subject),
            receipt.finished_at, receipt.prev_hash, receipt.hash, receipt.v, receipt.kind
        FROM owners o WHERE o.tenant_id = tenant AND o.user_id = subject
        ON CONFLICT (tenant_id, user_id) DO NOTHING;
        UPDATE owners o SET state = 'erased'
        WHERE o.tenant_id = tenant AND o.user_id = subject AND o.state = 'closed';
    END IF;
    RETURN QUERY
    SELECT * FROM erasure_receipts r WHERE r.tenant_id = tenant AND r.user_id = subject;
END $$
"""

APPEND_RECEIPTS_BEFORE = """
CREATE OR REPLACE FUNCTION append_receipts(tenant uuid, subjects uuid[])
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

RECEIPT_HASH_BEFORE = """
CREATE OR REPLACE FUNCTION receipt_hash(receipt erasure_receipts) RETURNS varchar
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
