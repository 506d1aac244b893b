-- What the version before calls; see erase_rows.
--
-- Deletes those of some sessions of a closed owner that have no messages any more, adds their number to
-- the owner's, and returns it. One that has messages stays, since they would go with it uncounted.
CREATE OR REPLACE FUNCTION erase_sessions(tenant uuid, subject uuid, sessions uuid[])
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    deleted bigint;
BEGIN
    PERFORM check_closed(tenant, subject);
    DELETE FROM chat_sessions s
    WHERE s.tenant_id = tenant AND s.user_id = subject AND s.id = ANY (sessions)
    AND NOT EXISTS (SELECT FROM messages m WHERE m.tenant_id = tenant AND m.session_id = s.id);
    GET DIAGNOSTICS deleted = ROW_COUNT;
    UPDATE owners o SET chat_sessions = o.chat_sessions + deleted
    WHERE o.tenant_id = tenant AND o.user_id = subject;
    RETURN deleted;
END $$;
