-- Deletes the key of a person of whom nothing is sealed any more, while nothing is being sealed.
-- In a session of a tenant it is of that tenant's people alone; operators' commands are in none.
CREATE OR REPLACE FUNCTION drop_wrapped_key(tenant uuid, subject uuid, key_id uuid) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH gone AS (
        DELETE FROM wrapped_keys w USING sealing s
        WHERE w.tenant_id = tenant AND w.user_id = subject AND w.id = key_id AND NOT s.is_on
        AND tenant = coalesce(nullif(current_setting('app.tenant_id', true), '')::uuid, tenant)
        RETURNING 1
    )
    SELECT EXISTS (SELECT FROM gone)
$$;
