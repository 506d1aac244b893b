-- Tells what the user database knows of each of these users. Users who are simply present are left
-- out, as the caller's default. It is one statement, so that all of it is of one snapshot.
CREATE OR REPLACE FUNCTION ledger_facts(tenants uuid[], subjects uuid[])
RETURNS TABLE (tenant_id uuid, user_id uuid, is_user boolean, state varchar, is_pending boolean,
               receipt varchar)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT k.tenant_id, k.user_id, u.id IS NOT NULL, l.state,
        coalesce(l.delivered_rev < l.rev, false), l.receipt
    FROM unnest(tenants, subjects) AS k (tenant_id, user_id)
    LEFT JOIN users u ON u.id = k.user_id AND u.tenant_id = k.tenant_id
    LEFT JOIN subject_ledger l ON l.tenant_id = k.tenant_id AND l.user_id = k.user_id
    WHERE u.id IS NULL OR l.state IS DISTINCT FROM 'present'
$$;
