-- Appends the receipt of an erasure to the chain, and marks the owner as erased. This is the only
-- way to such a receipt, and only for an owner whom close_owner has closed and dated.
--
-- What remains of the user (sessions and idempotency keys) is counted in the statement that
-- inserts, so that the CHECK on `remaining` is the proof. The owner is locked, so that its counts
-- stay as they are read; the chain before it, so that no two relays wait for each other. A second
-- call changes nothing and returns the receipt that is there. `key` is what the user database tells
-- of the person's key: settle_erasures.
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
END $$;
