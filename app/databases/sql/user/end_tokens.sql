-- Deletes up to `rows` access tokens, of all tenants, and returns how many: after a restore nobody knows
-- which of them had been ended. An event of the audit says so of each person.
-- In a session of a tenant it is of that tenant's people alone; operators' commands are in none.
CREATE OR REPLACE FUNCTION end_tokens(rows integer) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH picked AS MATERIALIZED (
        SELECT t.digest FROM access_tokens t
        WHERE t.tenant_id = coalesce(
            nullif(current_setting('app.tenant_id', true), '')::uuid, t.tenant_id)
        ORDER BY t.user_id LIMIT rows FOR UPDATE
    ), gone AS (
        DELETE FROM access_tokens t USING picked p WHERE t.digest = p.digest
        RETURNING t.tenant_id, t.user_id
    ), noted AS (
        INSERT INTO audit_events (tenant_id, actor_type, action, target_type, target_id)
        SELECT DISTINCT g.tenant_id, 'operator', 'token.ended', 'user', g.user_id FROM gone g
    )
    SELECT count(*) FROM gone
$$;
