-- Closes an owner for good: the first step of an erasure, from whose commit on no session begins and no
-- idempotency key is stored. An owner who was never seen here is made, too: this row is what refuses
-- a late first session. One who was closed by hand is dated, since only a dated one is erased.
CREATE OR REPLACE FUNCTION close_owner(tenant uuid, subject uuid)
RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    INSERT INTO owners AS o (tenant_id, user_id, state, closed_at)
    VALUES (tenant, subject, 'closed', now())
    ON CONFLICT (tenant_id, user_id) DO UPDATE SET
        state = CASE WHEN o.state = 'open' THEN 'closed' ELSE o.state END,
        closed_at = excluded.closed_at
    WHERE o.state = 'open' OR o.closed_at IS NULL
$$;
