-- Lists the owners whose flag was ever set, a page at a time, in the order of their ids.
CREATE OR REPLACE FUNCTION held_owners(after_tenant uuid, after_user uuid, page integer)
RETURNS TABLE (tenant_id uuid, user_id uuid, held boolean, hold_rev bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT o.tenant_id, o.user_id, o.held, o.hold_rev FROM owners o
    WHERE o.hold_rev > 0 AND (o.tenant_id, o.user_id) > (after_tenant, after_user)
    ORDER BY o.tenant_id, o.user_id LIMIT page
$$;
