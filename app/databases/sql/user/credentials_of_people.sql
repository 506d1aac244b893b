-- Returns a page of all people, with the last moment of which this database knows a change to their
-- password, roles or block, or another event about them. The end of a token is none: after a restore
-- all of them end.
CREATE OR REPLACE FUNCTION credentials_of_people(after_tenant uuid, after_user uuid, page integer)
RETURNS TABLE (tenant_id uuid, id uuid, as_of timestamptz, is_blocked boolean, roles jsonb)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT u.tenant_id, u.id, greatest(u.updated_at, (
            SELECT e.at FROM audit_events e
            WHERE e.tenant_id = u.tenant_id AND e.target_id = u.id AND e.action <> 'token.ended'
            ORDER BY e.id DESC LIMIT 1)),
        u.is_blocked, u.roles
    FROM users u WHERE (u.tenant_id, u.id) > (after_tenant, after_user)
    ORDER BY u.tenant_id, u.id LIMIT page
$$;
