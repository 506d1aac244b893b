-- Deletes up to `rows` expired idempotency keys and returns how many, one tenant at a time: a sharded
-- database locks rows of one tenant only. SKIP LOCKED passes by what a request, an erasure or another
-- relay holds, so that this waits for nobody and never deadlocks with a purge.
CREATE OR REPLACE FUNCTION expire_keys(rows integer)
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    tenant uuid;
    users uuid[];
    names varchar[];
    deleted bigint;
    total bigint := 0;
BEGIN
    FOR tenant, users, names IN
        SELECT e.tenant_id, array_agg(e.user_id), array_agg(e.key)
        FROM (SELECT k.tenant_id, k.user_id, k.key FROM general_idempotency_keys k
              WHERE k.expires_at <= now() ORDER BY k.expires_at LIMIT rows) AS e
        GROUP BY e.tenant_id
    LOOP
        WITH expired AS MATERIALIZED (
            SELECT k.user_id, k.key FROM general_idempotency_keys k
            JOIN unnest(users, names) AS e (user_id, key)
            ON e.user_id = k.user_id AND e.key = k.key
            WHERE k.tenant_id = tenant AND k.expires_at <= now()
            FOR UPDATE OF k SKIP LOCKED
        )
        DELETE FROM general_idempotency_keys k USING expired e
        WHERE k.tenant_id = tenant AND k.user_id = e.user_id AND k.key = e.key;
        GET DIAGNOSTICS deleted = ROW_COUNT;
        total := total + deleted;
    END LOOP;
    RETURN total;
END $$;
