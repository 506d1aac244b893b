-- Makes a receipt of version 2, the next one of the chain, which the caller has locked. `facts` are the
-- caller's columns; number, time, the hash before and the receipt's own come from here.
CREATE OR REPLACE FUNCTION link_receipt(facts jsonb) RETURNS erasure_receipts
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
END $$;
