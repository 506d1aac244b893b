-- Lists people's wrapped keys in the order of tenant and user, after this place.
-- In a session of a tenant it is of that tenant's people alone; operators' commands are in none.
CREATE OR REPLACE FUNCTION wrapped_keys_page(
    after_tenant uuid, after_user uuid, page integer, other_than text
) RETURNS TABLE (tenant_id uuid, user_id uuid, id uuid, master_id text, wrapped bytea)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT w.tenant_id, w.user_id, w.id, w.master_id, w.wrapped FROM wrapped_keys w
    WHERE (w.tenant_id, w.user_id) > (after_tenant, after_user)
    AND w.master_id IS DISTINCT FROM other_than
    AND w.tenant_id = coalesce(
        nullif(current_setting('app.tenant_id', true), '')::uuid, w.tenant_id)
    ORDER BY w.tenant_id, w.user_id LIMIT page
$$;
