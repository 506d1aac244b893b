-- Turns the tallies of a tenant into receipts, and returns their hashes: those of days that are over, and
-- today's once no session is left that a sweep would delete. So each day has one receipt, or one for
-- each sweep that found something; a tally and its receipt are never both there, nor neither.
--
-- A tally that somebody has locked is being written to: they come here afterwards, or the next sweep.
CREATE OR REPLACE FUNCTION receive_retention(tenant uuid, days integer) RETURNS SETOF varchar
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    changed_before timestamptz := CASE WHEN days >= 1 THEN now() - days * interval '24 hours' END;
    facts jsonb;
BEGIN
    IF NOT EXISTS (SELECT FROM retention_tallies t WHERE t.tenant_id = tenant) THEN
        RETURN;
    END IF;
    PERFORM lock_receipts();
    FOR facts IN
        WITH done AS MATERIALIZED (
            SELECT t.day FROM retention_tallies t
            WHERE t.tenant_id = tenant AND (
                t.day < (now() AT TIME ZONE 'UTC')::date
                OR NOT EXISTS (
                    SELECT FROM chat_sessions s
                    JOIN owners o ON o.tenant_id = tenant AND o.user_id = s.user_id
                    WHERE s.tenant_id = tenant AND s.changed_minute < 'infinity'
                    AND s.changed_minute <= changed_before AND s.updated_at < changed_before
                    AND o.state = 'open' AND NOT o.held)
                AND NOT EXISTS (
                    SELECT FROM chat_sessions s
                    JOIN owners o ON o.tenant_id = tenant AND o.user_id = s.user_id
                    WHERE s.tenant_id = tenant AND s.expires_at <= now()
                    AND o.state = 'open' AND NOT o.held))
            ORDER BY t.day FOR UPDATE OF t SKIP LOCKED
        )
        DELETE FROM retention_tallies t USING done
        WHERE t.tenant_id = tenant AND t.day = done.day
        RETURNING jsonb_build_object(
            'tenant_id', t.tenant_id, 'user_id', t.id, 'kind', 'retention', 'cutoff', t.cutoff,
            'chat_sessions', t.chat_sessions, 'messages', t.messages, 'remaining', 0)
    LOOP
        RETURN QUERY
        INSERT INTO erasure_receipts AS e (
            tenant_id, user_id, seq, chat_sessions, messages, remaining, finished_at, prev_hash,
            hash, v, kind, cutoff)
        SELECT r.tenant_id, r.user_id, r.seq, r.chat_sessions, r.messages, r.remaining,
            r.finished_at, r.prev_hash, r.hash, r.v, r.kind, r.cutoff
        FROM link_receipt(facts) AS r
        RETURNING e.hash;
    END LOOP;
END $$;
