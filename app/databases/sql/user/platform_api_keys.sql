-- Gives a platform administrator's page of the API keys of all tenants, oldest first by this
-- server's clock.
CREATE OR REPLACE FUNCTION platform_api_keys(after_at timestamptz, after_id uuid, page integer)
RETURNS SETOF api_keys
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT k.* FROM api_keys k
    WHERE (k.created_at, k.id) > (
        coalesce(after_at, '-infinity'),
        coalesce(after_id, '00000000-0000-0000-0000-000000000000'))
    ORDER BY k.created_at, k.id LIMIT page
$$;
