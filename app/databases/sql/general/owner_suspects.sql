-- Lists users with sessions or idempotency keys whose owner is closed or missing, and users with a
-- receipt of theirs whose owner is not erased: rows that were written past the triggers and keys, and
-- erasures on their way.
CREATE OR REPLACE FUNCTION owner_suspects()
RETURNS TABLE (tenant_id uuid, user_id uuid) LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT s.tenant_id, s.user_id FROM chat_sessions s
    LEFT JOIN owners o ON o.tenant_id = s.tenant_id AND o.user_id = s.user_id
    WHERE o.state IS DISTINCT FROM 'open'
    UNION
    SELECT k.tenant_id, k.user_id FROM general_idempotency_keys k
    LEFT JOIN owners o ON o.tenant_id = k.tenant_id AND o.user_id = k.user_id
    WHERE o.state IS DISTINCT FROM 'open'
    UNION
    SELECT r.tenant_id, r.user_id FROM erasure_receipts r
    LEFT JOIN owners o ON o.tenant_id = r.tenant_id AND o.user_id = r.user_id
    WHERE r.kind = 'erasure' AND o.state IS DISTINCT FROM 'erased'
$$;
