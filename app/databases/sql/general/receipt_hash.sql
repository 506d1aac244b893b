-- Computes the hash of a receipt; app/bridge/erasure/receipts.py says of what. Version 2 hashes every
-- member as `name=value`, sorted by name. concat_ws leaves out what is NULL, as the export does. A receipt
-- that cannot be has no hash.
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
$$;
