"""Three functions say what they said before in ways that a shard of Citus can run, too.

Citus hands `CASE state WHEN 'open'` on as `CASE state WHEN state = 'open'`, and its shards refuse
to compare text with a boolean. And it has a shard call what a statement on that shard calls, where
`link_receipt` is not.
"""

from __future__ import annotations

from alembic import op

revision = "g0056"
down_revision = "g0055"
branch_labels = None
depends_on = None

DEFINER = "SECURITY DEFINER SET search_path = public, pg_temp"
SIMPLE, SEARCHED = "CASE o.state WHEN 'open' THEN", "CASE WHEN o.state = 'open' THEN"


def upgrade() -> None:
    for function in (CLOSE_OWNER, OWNER_KEYS):
        op.execute(function)
    op.execute(APPEND_RECEIPT)


def downgrade() -> None:
    for function in (CLOSE_OWNER, OWNER_KEYS):
        op.execute(function.replace(SEARCHED, SIMPLE))
    op.execute(APPEND_RECEIPT_BEFORE)


BUCKET = "(uuid_hash_extended(o.user_id, uuid_hash_extended(o.tenant_id, 0)) & 65535)::integer"

CLOSE_OWNER = """
CREATE OR REPLACE FUNCTION close_owner(tenant uuid, subject uuid)
RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    INSERT INTO owners AS o (tenant_id, user_id, state, closed_at)
    VALUES (tenant, subject, 'closed', now())
    ON CONFLICT (tenant_id, user_id) DO UPDATE SET
        state = CASE WHEN o.state = 'open' THEN 'closed' ELSE o.state END,
        closed_at = excluded.closed_at
    WHERE o.state = 'open' OR o.closed_at IS NULL
$$
"""

OWNER_KEYS = f"""
CREATE OR REPLACE FUNCTION owner_keys(
    living bytea, gone bytea, after_tenant uuid, after_user uuid, page integer
) RETURNS TABLE (tenant_id uuid, user_id uuid) LANGUAGE sql STABLE {DEFINER} AS $$
    SELECT o.tenant_id, o.user_id FROM owners o
    WHERE (o.tenant_id, o.user_id) > (after_tenant, after_user)
    AND get_bit(CASE WHEN o.state = 'open' THEN living ELSE gone END, {BUCKET}) = 1
    ORDER BY o.tenant_id, o.user_id LIMIT page
$$
"""

APPEND_RECEIPT = """
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

APPEND_RECEIPT_BEFORE = """
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
    FOR NO KEY UPDATE;
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
