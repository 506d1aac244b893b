-- Returns a page of all API keys, with the last moment at which each is known to have been in force.
CREATE OR REPLACE FUNCTION credentials_of_backends(after_tenant uuid, after_key uuid, page integer)
RETURNS TABLE (tenant_id uuid, id uuid, as_of timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT k.tenant_id, k.id, greatest(k.created_at, k.last_used_at)
    FROM api_keys k WHERE (k.tenant_id, k.id) > (after_tenant, after_key)
    ORDER BY k.tenant_id, k.id LIMIT page
$$;
