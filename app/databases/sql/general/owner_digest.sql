-- Computes of the owners what ledger_digest computes of the user database's ledger. An owner who is
-- 'closed', on the way to be erased, never agrees.
CREATE OR REPLACE FUNCTION owner_digest()
RETURNS TABLE (bucket integer, living bigint, living_hash bigint, gone bigint, gone_hash bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT (hash & 65535)::integer,
        count(*) FILTER (WHERE state = 'open'),
        coalesce(bit_xor(hashint8extended(hash, 1)) FILTER (WHERE state = 'open'), 0),
        count(*) FILTER (WHERE state <> 'open'),
        coalesce(bit_xor(hashtextextended(state || coalesce(receipt, ''), hash))
                 FILTER (WHERE state <> 'open'), 0)
    FROM (SELECT o.state, r.hash AS receipt, uuid_hash_extended(o.user_id, uuid_hash_extended(o.tenant_id, 0)) AS hash
          FROM owners o LEFT JOIN erasure_receipts r
          ON r.tenant_id = o.tenant_id AND r.user_id = o.user_id) AS hashed
    GROUP BY 1
$$;
