-- What the version before calls; see release_erasures.
--
-- Gives a held erasure back to the end of the queue without counting the attempt: the relay stops,
-- has spent its turn on a large user, or finds the other database away.
CREATE OR REPLACE FUNCTION release_erasure(
    tenant uuid, subject uuid, claimed_rev bigint, held_until timestamptz, error varchar
) RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE subject_ledger l SET lease_until = NULL, not_before = now(),
        attempts = greatest(l.attempts - 1, 0),
        last_error = coalesce(left(error, 200), l.last_error)
    
    WHERE l.tenant_id = tenant AND l.user_id = subject AND l.rev = claimed_rev
    AND l.lease_until = held_until AND l.delivered_rev < l.rev

$$;
