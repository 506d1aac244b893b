-- Returns, for each of 65,536 buckets, how many users are living and gone, and the XOR of their
-- hashes. owner_digest computes the same of the general database's owners; the two are equal where
-- both databases know the same. A user who is gone counts with the receipt; one who is pending
-- never agrees.
--
-- The bucket is the last 16 bits of the hash of tenant and user.
CREATE OR REPLACE FUNCTION ledger_digest()
RETURNS TABLE (bucket integer, living bigint, living_hash bigint, gone bigint, gone_hash bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT (hash & 65535)::integer,
        count(*) FILTER (WHERE state = 'present'),
        coalesce(bit_xor(hashint8extended(hash, 1)) FILTER (WHERE state = 'present'), 0),
        count(*) FILTER (WHERE state <> 'present'),
        coalesce(bit_xor(hashtextextended(
            CASE WHEN delivered_rev < rev THEN 'pending' ELSE 'erased' || coalesce(receipt, '') END,
            hash)) FILTER (WHERE state <> 'present'), 0)
    FROM (SELECT l.state, l.rev, l.delivered_rev, l.receipt, uuid_hash_extended(l.user_id, uuid_hash_extended(l.tenant_id, 0)) AS hash
          FROM subject_ledger l) AS hashed
    GROUP BY 1
$$;
