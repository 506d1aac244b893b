-- What the version before calls; see renew_erasures.
--
-- Extends the lease of a held erasure and writes down its progress. Returns the new lease, or NULL
-- if somebody else has claimed the erasure meanwhile.
CREATE OR REPLACE FUNCTION renew_erasure(
    tenant uuid, subject uuid, claimed_rev bigint, held_until timestamptz, lease interval,
    sessions bigint, texts bigint
) RETURNS timestamptz LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE subject_ledger l SET chat_sessions = sessions, messages = texts,
        lease_until = greatest(now(), l.lease_until + interval '1 microsecond') + lease
    
    WHERE l.tenant_id = tenant AND l.user_id = subject AND l.rev = claimed_rev
    AND l.lease_until = held_until AND l.delivered_rev < l.rev
 RETURNING l.lease_until
$$;
