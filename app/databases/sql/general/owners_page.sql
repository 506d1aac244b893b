-- Lists who has or had conversations, in the order of tenant and user, after this place. Whoever is
-- being erased is left out.
CREATE OR REPLACE FUNCTION owners_page(after_tenant uuid, after_user uuid, page integer)
RETURNS TABLE (tenant_id uuid, user_id uuid, key_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT o.tenant_id, o.user_id, o.key_id FROM owners o
    WHERE (o.tenant_id, o.user_id) > (after_tenant, after_user) AND o.state = 'open'
    ORDER BY o.tenant_id, o.user_id LIMIT page
$$;
