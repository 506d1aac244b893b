-- What the version before calls; see platform_user_page.
--
-- Lists the users of all tenants to a platform administrator, a page at a time. The columns are
-- named so that no password hash leaves through this function.
CREATE OR REPLACE FUNCTION platform_users(after uuid, page integer)
RETURNS TABLE (id uuid, tenant_id uuid, username varchar, email varchar, roles jsonb,
               is_active boolean, is_blocked boolean, created_at timestamptz,
               updated_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT u.id, u.tenant_id, u.username, u.email, u.roles, u.is_active, u.is_blocked,
           u.created_at, u.updated_at
    FROM users u WHERE after IS NULL OR u.id > after ORDER BY u.id LIMIT page
$$;
