-- Lists who is not being erased and has sealed words, with the key that seals them, in the order of
-- tenant and user, after this place.
CREATE OR REPLACE FUNCTION sealed_owners(after_tenant uuid, after_user uuid, page integer)
RETURNS TABLE (tenant_id uuid, user_id uuid, key_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT o.tenant_id, o.user_id, o.key_id FROM owners o
    WHERE (o.tenant_id, o.user_id) > (after_tenant, after_user)
    AND o.state = 'open' AND o.key_id IS NOT NULL
    ORDER BY o.tenant_id, o.user_id LIMIT page
$$;
