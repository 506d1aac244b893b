-- Gives a platform administrator's page of tenants, oldest first by this server's clock. Its
-- arguments are those of platform_user_page.
CREATE OR REPLACE FUNCTION platform_tenants_by_time(
    after_at timestamptz, after_id uuid, made_at timestamptz, page integer
) RETURNS SETOF tenants
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF after_at IS NULL AND after_id IS NOT NULL THEN
        SELECT last.created_at INTO after_at FROM tenants last
        WHERE last.id = after_id;
    END IF;
    after_at := coalesce(after_at, made_at, '-infinity');
    after_id := coalesce(after_id, '00000000-0000-0000-0000-000000000000');
    RETURN QUERY
        SELECT t.* FROM tenants t
        WHERE (t.created_at, t.id) > (after_at, after_id)
        ORDER BY t.created_at, t.id LIMIT page;
END $$;
