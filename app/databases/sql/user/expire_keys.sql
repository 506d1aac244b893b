-- Deletes up to `rows` expired idempotency keys of persons, and as many of API keys, and returns how
-- many. MATERIALIZED keeps the planner from locking more of them than the limit says.
CREATE OR REPLACE FUNCTION expire_keys(rows integer) RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH expired AS MATERIALIZED (
        SELECT k.tenant_id, k.user_id, k.key FROM user_idempotency_keys k
        WHERE k.expires_at <= now() ORDER BY k.expires_at LIMIT rows FOR UPDATE SKIP LOCKED
    ), of_keys AS MATERIALIZED (
        SELECT k.tenant_id, k.api_key_id, k.key FROM api_key_answers k
        WHERE k.expires_at <= now() ORDER BY k.expires_at LIMIT rows FOR UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM user_idempotency_keys k USING expired e
        WHERE k.tenant_id = e.tenant_id AND k.user_id = e.user_id AND k.key = e.key
        RETURNING 1
    ), gone_of_keys AS (
        DELETE FROM api_key_answers k USING of_keys e
        WHERE k.tenant_id = e.tenant_id AND k.api_key_id = e.api_key_id AND k.key = e.key
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM gone) + (SELECT count(*) FROM gone_of_keys)
$$;
