-- Lists the users on whom `users` and the ledger disagree: their triggers were off for a while.
CREATE OR REPLACE FUNCTION ledger_suspects()
RETURNS TABLE (tenant_id uuid, user_id uuid) LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT coalesce(l.tenant_id, u.tenant_id), coalesce(l.user_id, u.id)
    FROM subject_ledger l
    FULL JOIN users u ON u.id = l.user_id AND u.tenant_id = l.tenant_id
    WHERE (u.id IS NOT NULL) <> coalesce(l.state = 'present', false)
$$;
