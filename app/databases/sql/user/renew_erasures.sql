-- Extends the lease of some erasures that one claim holds, and writes down how far each one is
-- where that is not NULL. Returns whose it still is and the new lease; somebody else has claimed the
-- others meanwhile.
CREATE OR REPLACE FUNCTION renew_erasures(
    tenant uuid, subjects uuid[], revs bigint[], held_until timestamptz, lease interval,
    sessions bigint[], texts bigint[]
) RETURNS TABLE (user_id uuid, lease_until timestamptz)
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE subject_ledger l SET chat_sessions = coalesce(held.sessions, l.chat_sessions),
        messages = coalesce(held.texts, l.messages),
        lease_until = greatest(now(), l.lease_until + interval '1 microsecond') + lease
    FROM unnest(subjects, revs, sessions, texts) AS held (user_id, rev, sessions, texts)
    WHERE l.tenant_id = tenant AND l.user_id = ANY (subjects)
    AND l.user_id = held.user_id AND l.rev = held.rev
    AND l.lease_until = held_until AND l.delivered_rev < l.rev
    RETURNING l.user_id, l.lease_until
$$;
