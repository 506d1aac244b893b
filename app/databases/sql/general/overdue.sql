-- Counts a tenant's sessions that the next sweep would delete, and their messages; and the cutoff: those
-- changed last before it were kept long enough. Without a policy, only sessions' own ends matter, and
-- the cutoff is now.
CREATE OR REPLACE FUNCTION overdue(
    tenant uuid, days integer, OUT chat_sessions bigint, OUT messages bigint, OUT cutoff timestamptz
) LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    changed_before timestamptz := CASE WHEN days >= 1 THEN now() - days * interval '24 hours' END;
BEGIN
    cutoff := coalesce(changed_before, now());
    WITH due AS MATERIALIZED (
        SELECT s.id, s.user_id, s.message_count FROM chat_sessions s
        WHERE s.tenant_id = tenant AND s.changed_minute < 'infinity'
        AND s.changed_minute <= changed_before AND s.updated_at < changed_before
        UNION
        SELECT s.id, s.user_id, s.message_count FROM chat_sessions s
        WHERE s.tenant_id = tenant AND s.expires_at <= now()
    )
    SELECT count(*), coalesce(sum(due.message_count), 0) INTO chat_sessions, messages
    FROM due JOIN owners o ON o.tenant_id = tenant AND o.user_id = due.user_id
    WHERE o.state = 'open' AND NOT o.held;
END $$;
