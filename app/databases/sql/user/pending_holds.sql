-- Lists whose hold was placed or lifted and not delivered since: the longest waiting come first. Any
-- number of relays may deliver the same one, so nothing is claimed.
CREATE OR REPLACE FUNCTION pending_holds(page integer)
RETURNS TABLE (tenant_id uuid, user_id uuid, is_held boolean, rev bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT l.tenant_id, l.user_id, h.user_id IS NOT NULL, l.hold_rev
    FROM subject_ledger l
    LEFT JOIN holds h ON h.tenant_id = l.tenant_id AND h.user_id = l.user_id
    WHERE l.hold_delivered_rev < l.hold_rev
    ORDER BY l.hold_changed_at LIMIT page
$$;
