-- What the version before calls; see acknowledge_erasures.
--
-- Marks an erasure as complete, with its receipt. It moves only forward, only what was claimed, and
-- only for the holder of the lease; false if the lease was lost.
CREATE OR REPLACE FUNCTION acknowledge_erasure(
    tenant uuid, subject uuid, claimed_rev bigint, held_until timestamptz,
    hash varchar, sessions bigint, texts bigint
) RETURNS boolean LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH done AS (
        UPDATE subject_ledger l SET delivered_rev = claimed_rev, receipt = hash,
            completed_at = now(), chat_sessions = sessions, messages = texts,
            lease_until = NULL, last_error = NULL
        
    WHERE l.tenant_id = tenant AND l.user_id = subject AND l.rev = claimed_rev
    AND l.lease_until = held_until AND l.delivered_rev < l.rev
 RETURNING 1
    )
    SELECT EXISTS (SELECT FROM done)
$$;
