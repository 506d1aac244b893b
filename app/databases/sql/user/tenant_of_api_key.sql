-- Finds the tenant of an API key, so that a platform administrator's request can act in it.
CREATE OR REPLACE FUNCTION tenant_of_api_key(key_id uuid) RETURNS uuid LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT tenant_id FROM api_keys WHERE id = key_id
$$;
