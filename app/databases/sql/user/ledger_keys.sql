-- Lists the users who are gone in the buckets whose bit is set in the mask, a page at a time.
CREATE OR REPLACE FUNCTION ledger_keys(gone bytea, after_tenant uuid, after_user uuid, page integer)
RETURNS TABLE (tenant_id uuid, user_id uuid) LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT l.tenant_id, l.user_id FROM subject_ledger l
    WHERE (l.tenant_id, l.user_id) > (after_tenant, after_user)
    AND l.state <> 'present' AND get_bit(gone, (uuid_hash_extended(l.user_id, uuid_hash_extended(l.tenant_id, 0)) & 65535)::integer) = 1
    ORDER BY l.tenant_id, l.user_id LIMIT page
$$;
