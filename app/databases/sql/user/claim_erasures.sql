-- Claims pending erasures that nobody holds, at most so many, all of one tenant. The first of them
-- chooses the tenant: it has been due longest, or, where `newest` is asked for, was deleted last, so
-- that one person need not wait for the thousands deleted before. `lease_until` is the claim's token:
-- a later claim of the same row always has a later one. All times are this server's own.
--
-- Two claims at once lock different rows. The first one is locked before the others are looked for,
-- so that neither finds nothing because the other is at it.
CREATE OR REPLACE FUNCTION claim_erasures(lease interval, most integer, newest boolean)
RETURNS TABLE (tenant_id uuid, user_id uuid, rev bigint, lease_until timestamptz)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    first record;
    claimed uuid[];
BEGIN
    IF newest THEN
        SELECT l.tenant_id, l.user_id INTO first FROM subject_ledger l
        WHERE l.delivered_rev < l.rev AND l.state = 'deleted' AND l.not_before <= now()
        AND (l.lease_until IS NULL OR l.lease_until < now())
        ORDER BY l.changed_at DESC LIMIT 1 FOR UPDATE SKIP LOCKED;
    ELSE
        SELECT l.tenant_id, l.user_id INTO first FROM subject_ledger l
        WHERE l.delivered_rev < l.rev AND l.state = 'deleted' AND l.not_before <= now()
        AND (l.lease_until IS NULL OR l.lease_until < now())
        ORDER BY l.not_before LIMIT 1 FOR UPDATE SKIP LOCKED;
    END IF;
    claimed := first.user_id || ARRAY(
        SELECT l.user_id FROM subject_ledger l
        WHERE l.tenant_id = first.tenant_id AND l.user_id <> first.user_id
        AND l.delivered_rev < l.rev AND l.state = 'deleted' AND l.not_before <= now()
        AND (l.lease_until IS NULL OR l.lease_until < now())
        ORDER BY l.not_before LIMIT most - 1 FOR UPDATE SKIP LOCKED);
    RETURN QUERY
    UPDATE subject_ledger l SET lease_until = now() + lease, attempts = l.attempts + 1
    WHERE l.tenant_id = first.tenant_id AND l.user_id = ANY (claimed)
    RETURNING l.tenant_id, l.user_id, l.rev, l.lease_until;
END $$;
