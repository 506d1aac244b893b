-- Tells what the general database knows of each of these users. Owners who are simply open are left
-- out, as the caller's default. It is one statement, so that all of it is of one snapshot.
--
-- The parts are inner joins, of which only the small results are joined outer: a sharded database
-- has no outer join or EXISTS between a list that it is given and its shards.
--
-- Idempotency keys count as sessions do; the column is still called has_sessions because the version
-- that named it may still run.
CREATE OR REPLACE FUNCTION owner_facts(tenants uuid[], subjects uuid[])
RETURNS TABLE (tenant_id uuid, user_id uuid, state varchar, is_dated boolean, receipt varchar,
               has_sessions boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH asked AS MATERIALIZED (
        SELECT * FROM unnest(tenants, subjects) AS k (tenant_id, user_id)
    ), owned AS MATERIALIZED (
        SELECT o.tenant_id, o.user_id, o.state, o.closed_at IS NOT NULL AS is_dated
        FROM owners o JOIN asked k ON k.tenant_id = o.tenant_id AND k.user_id = o.user_id
    ), receipted AS MATERIALIZED (
        SELECT r.tenant_id, r.user_id, r.hash FROM erasure_receipts r
        JOIN asked k ON k.tenant_id = r.tenant_id AND k.user_id = r.user_id
        WHERE r.kind = 'erasure'
    ), known AS MATERIALIZED (
        SELECT k.tenant_id, k.user_id, o.state, coalesce(o.is_dated, false) AS is_dated, r.hash
        FROM asked k
        LEFT JOIN owned o ON o.tenant_id = k.tenant_id AND o.user_id = k.user_id
        LEFT JOIN receipted r ON r.tenant_id = k.tenant_id AND r.user_id = k.user_id
        WHERE o.state IS DISTINCT FROM 'open' OR r.hash IS NOT NULL
    ), holding AS MATERIALIZED (
        SELECT s.tenant_id, s.user_id FROM chat_sessions s
        JOIN known k ON k.tenant_id = s.tenant_id AND k.user_id = s.user_id
        UNION
        SELECT i.tenant_id, i.user_id FROM general_idempotency_keys i
        JOIN known k ON k.tenant_id = i.tenant_id AND k.user_id = i.user_id
    )
    SELECT k.tenant_id, k.user_id, k.state, k.is_dated, k.hash, h.user_id IS NOT NULL
    FROM known k LEFT JOIN holding h ON h.tenant_id = k.tenant_id AND h.user_id = k.user_id
$$;
