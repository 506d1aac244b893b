-- Gives erasures of one claim back to the end of the queue without counting the attempt: the relay
-- stops, has spent its turn, or finds the other database away.
CREATE OR REPLACE FUNCTION release_erasures(
    tenant uuid, subjects uuid[], revs bigint[], held_until timestamptz, error varchar
) RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE subject_ledger l SET lease_until = NULL, not_before = now(),
        attempts = greatest(l.attempts - 1, 0),
        last_error = coalesce(left(error, 200), l.last_error)
    FROM unnest(subjects, revs) AS held (user_id, rev)
    WHERE l.tenant_id = tenant AND l.user_id = ANY (subjects)
    AND l.user_id = held.user_id AND l.rev = held.rev
    AND l.lease_until = held_until AND l.delivered_rev < l.rev
$$;
