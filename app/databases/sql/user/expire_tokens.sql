-- Deletes up to `rows` access tokens that have reached their end and returns how many. Such a token
-- is nobody's already. MATERIALIZED keeps the planner from locking more of them than the limit says.
CREATE OR REPLACE FUNCTION expire_tokens(rows integer) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH expired AS MATERIALIZED (
        SELECT t.digest FROM access_tokens t
        WHERE t.expires_at <= now() ORDER BY t.expires_at LIMIT rows FOR UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM access_tokens t USING expired e WHERE t.digest = e.digest RETURNING 1
    )
    SELECT count(*) FROM gone
$$;
