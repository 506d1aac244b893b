-- Finds which of these users are there and have not this key: none, or another one.
CREATE OR REPLACE FUNCTION other_keys(tenants uuid[], subjects uuid[], keys uuid[])
RETURNS TABLE (tenant_id uuid, user_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT k.tenant_id, k.user_id
    FROM unnest(tenants, subjects, keys) AS k (tenant_id, user_id, key_id)
    JOIN users u ON u.tenant_id = k.tenant_id AND u.id = k.user_id
    LEFT JOIN wrapped_keys w ON w.tenant_id = k.tenant_id AND w.user_id = k.user_id
    WHERE w.id IS DISTINCT FROM k.key_id
$$;
