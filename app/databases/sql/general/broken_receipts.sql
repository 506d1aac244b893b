-- Lists the receipts that do not follow from the one before or were changed: what verifying an
-- export finds.
CREATE OR REPLACE FUNCTION broken_receipts()
RETURNS TABLE (tenant_id uuid, user_id uuid, seq bigint) LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
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
$$;
