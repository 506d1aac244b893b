-- Lists the receipts that do not follow from the one before or were changed: what verifying an
-- export finds.
CREATE OR REPLACE FUNCTION broken_receipts()
RETURNS TABLE (tenant_id uuid, user_id uuid, seq bigint) LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT r.tenant_id, r.user_id, r.seq
    FROM (SELECT e.tenant_id, e.user_id, e.seq, e.prev_hash, e.hash, receipt_hash(e) AS true_hash,
                 lag(e.seq) OVER (ORDER BY e.seq) AS seq_before,
                 lag(e.hash) OVER (ORDER BY e.seq) AS hash_before
          FROM erasure_receipts e) AS r
    WHERE r.seq <> coalesce(r.seq_before, 0) + 1
    OR r.prev_hash <> coalesce(r.hash_before, repeat('0', 64))
    OR r.hash IS DISTINCT FROM r.true_hash
    ORDER BY r.seq
$$;
