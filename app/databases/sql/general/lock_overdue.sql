-- Locks some of a tenant's sessions that were kept long enough: nobody changed them for so many days
-- (NULL: that does not matter), or their own end has passed. It takes as many as hold at most `rows`
-- rows, and at least one however large.
--
-- Candidates come from two indexes. What decides is looked at once more under the lock: a session that
-- was changed meanwhile stays. Whoever is held or being erased is passed by, and so is what others
-- have locked; the owner is held FOR KEY SHARE, so that a hold or an erasure waits for this to end.
CREATE OR REPLACE FUNCTION lock_overdue(tenant uuid, days integer, rows integer) RETURNS uuid[]
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    changed_before timestamptz := CASE WHEN days >= 1 THEN now() - days * interval '24 hours' END;
    taken uuid[];
BEGIN
    WITH unchanged AS MATERIALIZED (
        SELECT s.id, s.message_count FROM chat_sessions s
        JOIN owners o ON o.tenant_id = tenant AND o.user_id = s.user_id
        WHERE s.tenant_id = tenant AND s.changed_minute < 'infinity'
        AND s.changed_minute <= changed_before AND s.updated_at < changed_before
        AND o.state = 'open' AND NOT o.held
        ORDER BY s.changed_minute LIMIT rows
    ), ended AS MATERIALIZED (
        SELECT s.id, s.message_count FROM chat_sessions s
        JOIN owners o ON o.tenant_id = tenant AND o.user_id = s.user_id
        WHERE s.tenant_id = tenant AND s.expires_at <= now() AND o.state = 'open' AND NOT o.held
        ORDER BY s.expires_at LIMIT rows
    ), next AS MATERIALIZED (
        SELECT c.id, row_number() OVER (ORDER BY c.id) AS place,
               sum(c.message_count + 1) OVER (ORDER BY c.id) AS total
        FROM (SELECT u.id, u.message_count FROM unchanged u
              UNION SELECT e.id, e.message_count FROM ended e) AS c
    ), locked AS MATERIALIZED (
        SELECT s.id FROM chat_sessions s
        JOIN next n ON n.id = s.id
        JOIN owners o ON o.tenant_id = tenant AND o.user_id = s.user_id
        WHERE s.tenant_id = tenant AND (n.total <= rows OR n.place = 1)
        AND (s.updated_at < changed_before OR s.expires_at <= now())
        AND o.state = 'open' AND NOT o.held
        FOR UPDATE OF s SKIP LOCKED FOR KEY SHARE OF o SKIP LOCKED
    )
    SELECT array_agg(l.id) INTO taken FROM locked l;
    RETURN taken;
END $$;
