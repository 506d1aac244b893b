-- Gives a platform administrator's page of tenants, oldest first by this server's clock. Its
-- arguments are those of platform_user_page.
CREATE OR REPLACE FUNCTION platform_tenants_by_time(
    after_at timestamptz, after_id uuid, made_at timestamptz, page integer
) RETURNS SETOF tenants
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT t.* FROM tenants t
    WHERE (t.created_at, t.id) > (
        coalesce(after_at, (SELECT last.created_at FROM tenants last WHERE last.id = after_id),
                 made_at, '-infinity'),
        coalesce(after_id, '00000000-0000-0000-0000-000000000000'))
    ORDER BY t.created_at, t.id LIMIT page
$$;
