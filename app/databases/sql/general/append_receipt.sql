-- Appends the receipt of an erasure to the chain, and marks the owner as erased. This is the only
-- way to a receipt, and only for an owner whom close_owner has closed and dated.
--
-- What remains of the user (sessions and idempotency keys) is counted in the statement that
-- inserts, so that the CHECK on `remaining` is the proof. A second call changes nothing and returns
-- the receipt that is there.
--
-- The lock comes first and lasts until COMMIT: whoever reads the end of the chain after it reads
-- the true one, as long as each statement has a snapshot of its own. The owner's own login is
-- refused: row level security would show it one tenant's receipts only, and the chain would fork.
CREATE OR REPLACE FUNCTION append_receipt(tenant uuid, subject uuid) RETURNS SETOF erasure_receipts
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
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
END $$;
