-- Lists who is held, or was, a page at a time, in the order of their ids.
CREATE OR REPLACE FUNCTION hold_facts(after_tenant uuid, after_user uuid, page integer)
RETURNS TABLE (tenant_id uuid, user_id uuid, is_held boolean, rev bigint, is_pending boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT k.tenant_id, k.user_id, h.user_id IS NOT NULL, coalesce(l.hold_rev, 0),
        coalesce(l.hold_delivered_rev < l.hold_rev, false)
    FROM (
        SELECT x.tenant_id, x.user_id FROM subject_ledger x WHERE x.hold_rev > 0
        UNION
        SELECT x.tenant_id, x.user_id FROM holds x
    ) AS k
    LEFT JOIN subject_ledger l ON l.tenant_id = k.tenant_id AND l.user_id = k.user_id
    LEFT JOIN holds h ON h.tenant_id = k.tenant_id AND h.user_id = k.user_id
    WHERE (k.tenant_id, k.user_id) > (after_tenant, after_user)
    ORDER BY k.tenant_id, k.user_id LIMIT page
$$;
