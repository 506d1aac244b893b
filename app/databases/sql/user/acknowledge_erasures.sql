-- Marks erasures of one claim as complete, each with its receipt. They move only forward, only what
-- was claimed, and only for the holder of the lease. Returns whose erasure was marked; of the others
-- the lease was lost.
CREATE OR REPLACE FUNCTION acknowledge_erasures(
    tenant uuid, subjects uuid[], revs bigint[], held_until timestamptz,
    hashes varchar[], sessions bigint[], texts bigint[]
) RETURNS SETOF uuid LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE subject_ledger l SET delivered_rev = done.rev, receipt = done.hash,
        completed_at = now(), chat_sessions = done.sessions, messages = done.texts,
        lease_until = NULL, last_error = NULL
    FROM unnest(subjects, revs, hashes, sessions, texts)
        AS done (user_id, rev, hash, sessions, texts)
    WHERE l.tenant_id = tenant AND l.user_id = ANY (subjects)
    AND l.user_id = done.user_id AND l.rev = done.rev
    AND l.lease_until = held_until AND l.delivered_rev < l.rev
    RETURNING l.user_id
$$;
