-- Gives a platform administrator's page of users of all tenants, oldest first by this server's
-- clock, with the ids that their products know them by and without password hashes. A cursor from
-- before lists were ordered by time has no `after_at`: it stands for that user's own time, or, when
-- they are gone, for `made_at`, the time in their id.
-- The place is a variable: PostgreSQL 15 begins no index scan at a row whose values are expressions.
CREATE OR REPLACE FUNCTION platform_user_page(
    after_at timestamptz, after_id uuid, made_at timestamptz, page integer
) RETURNS TABLE (id uuid, tenant_id uuid, username varchar, email varchar, external_id varchar,
                 roles jsonb, is_active boolean, is_blocked boolean, created_at timestamptz,
                 updated_at timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF after_at IS NULL AND after_id IS NOT NULL THEN
        SELECT last.created_at INTO after_at FROM users last
        WHERE last.id = after_id;
    END IF;
    after_at := coalesce(after_at, made_at, '-infinity');
    after_id := coalesce(after_id, '00000000-0000-0000-0000-000000000000');
    RETURN QUERY
        SELECT u.id, u.tenant_id, u.username, u.email, u.external_id, u.roles, u.is_active,
               u.is_blocked, u.created_at, u.updated_at
        FROM users u
        WHERE (u.created_at, u.id) > (after_at, after_id)
        ORDER BY u.created_at, u.id LIMIT page;
END $$;
