-- What the version before calls; see platform_user_page.
--
-- Gives a platform administrator's page of users of all tenants, oldest first by this server's
-- clock, without password hashes. A cursor from before lists were ordered by time has no
-- `after_at`: it stands for that user's own time, or, when they are gone, for `made_at`, the time
-- in their id.
CREATE OR REPLACE FUNCTION platform_users_by_time(
    after_at timestamptz, after_id uuid, made_at timestamptz, page integer
) RETURNS TABLE (id uuid, tenant_id uuid, username varchar, email varchar, roles jsonb,
                 is_active boolean, is_blocked boolean, created_at timestamptz,
                 updated_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT u.id, u.tenant_id, u.username, u.email, u.roles, u.is_active, u.is_blocked,
           u.created_at, u.updated_at
    FROM users u
    WHERE (u.created_at, u.id) > (
        coalesce(after_at, (SELECT last.created_at FROM users last WHERE last.id = after_id),
                 made_at, '-infinity'),
        coalesce(after_id, '00000000-0000-0000-0000-000000000000'))
    ORDER BY u.created_at, u.id LIMIT page
$$;
