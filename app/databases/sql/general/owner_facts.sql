-- Tells what the general database knows of each of these users. Owners who are simply open are left
-- out, as the caller's default. It is one statement, so that all of it is of one snapshot.
--
-- Idempotency keys count as sessions do; the column is still called has_sessions because the
-- version that named it may still run.
CREATE OR REPLACE FUNCTION owner_facts(tenants uuid[], subjects uuid[])
RETURNS TABLE (tenant_id uuid, user_id uuid, state varchar, is_dated boolean, receipt varchar,
               has_sessions boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT k.tenant_id, k.user_id, o.state, o.closed_at IS NOT NULL, r.hash,
        EXISTS (SELECT FROM chat_sessions s
                WHERE s.tenant_id = k.tenant_id AND s.user_id = k.user_id)
        OR EXISTS (SELECT FROM general_idempotency_keys i
                   WHERE i.tenant_id = k.tenant_id AND i.user_id = k.user_id)
    FROM unnest(tenants, subjects) AS k (tenant_id, user_id)
    LEFT JOIN owners o ON o.tenant_id = k.tenant_id AND o.user_id = k.user_id
    LEFT JOIN erasure_receipts r ON r.tenant_id = k.tenant_id AND r.user_id = k.user_id
    WHERE o.state IS DISTINCT FROM 'open' OR r.hash IS NOT NULL
$$;
