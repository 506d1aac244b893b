-- Puts off an erasure that failed. It is tried again for ever, each time after about twice as long,
-- up to the longest; the jitter keeps erasures that failed together from coming back together.
CREATE OR REPLACE FUNCTION postpone_erasure(
    tenant uuid, subject uuid, claimed_rev bigint, held_until timestamptz,
    error varchar, first interval, longest interval
) RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE subject_ledger l SET lease_until = NULL, last_error = left(error, 200),
        not_before = now() + (0.5 + random() / 2)
            * least(longest, first * power(2, least(l.attempts - 1, 20)))
    
    WHERE l.tenant_id = tenant AND l.user_id = subject AND l.rev = claimed_rev
    AND l.lease_until = held_until AND l.delivered_rev < l.rev

$$;
