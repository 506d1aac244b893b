-- What the version before calls; see claim_erasures.
--
-- Claims the pending erasure that has been due longest and that nobody holds. `lease_until` is the
-- claim's token: a later claim of the same row always has a later one. All times are this server's
-- own.
--
-- MATERIALIZED keeps the planner from putting the LIMIT into a loop and locking more than one row.
CREATE OR REPLACE FUNCTION claim_erasure(lease interval)
RETURNS TABLE (tenant_id uuid, user_id uuid, rev bigint, lease_until timestamptz,
               requested_at timestamptz)
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH due AS MATERIALIZED (
        SELECT l.tenant_id, l.user_id FROM subject_ledger l
        WHERE l.delivered_rev < l.rev AND l.state = 'deleted' AND l.not_before <= now()
        AND (l.lease_until IS NULL OR l.lease_until < now())
        ORDER BY l.not_before LIMIT 1 FOR UPDATE SKIP LOCKED
    )
    UPDATE subject_ledger l SET lease_until = now() + lease, attempts = l.attempts + 1
    FROM due WHERE l.tenant_id = due.tenant_id AND l.user_id = due.user_id
    RETURNING l.tenant_id, l.user_id, l.rev, l.lease_until, l.changed_at
$$;
