-- Lists the owners in the buckets whose bit is set, a page at a time: `living` is the mask for open
-- owners, `gone` for all others.
CREATE OR REPLACE FUNCTION owner_keys(
    living bytea, gone bytea, after_tenant uuid, after_user uuid, page integer
) RETURNS TABLE (tenant_id uuid, user_id uuid) LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT o.tenant_id, o.user_id FROM owners o
    WHERE (o.tenant_id, o.user_id) > (after_tenant, after_user)
    AND get_bit(CASE WHEN o.state = 'open' THEN living ELSE gone END, (uuid_hash_extended(o.user_id, uuid_hash_extended(o.tenant_id, 0)) & 65535)::integer) = 1
    ORDER BY o.tenant_id, o.user_id LIMIT page
$$;
