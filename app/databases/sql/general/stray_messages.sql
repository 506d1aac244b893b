-- Lists the sessions that are not there and yet have messages. It goes from session to session
-- along the index, so that the messages themselves, however many, are not read.
CREATE OR REPLACE FUNCTION stray_messages()
RETURNS TABLE (tenant_id uuid, session_id uuid) LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH RECURSIVE told AS (
        (SELECT m.tenant_id, m.session_id FROM messages m
         ORDER BY m.tenant_id, m.session_id LIMIT 1)
        UNION ALL
        SELECT next.tenant_id, next.session_id FROM told CROSS JOIN LATERAL (
            SELECT m.tenant_id, m.session_id FROM messages m
            WHERE (m.tenant_id, m.session_id) > (told.tenant_id, told.session_id)
            ORDER BY m.tenant_id, m.session_id LIMIT 1) AS next
    )
    SELECT told.tenant_id, told.session_id FROM told
    WHERE NOT EXISTS (SELECT FROM chat_sessions s
                      WHERE s.tenant_id = told.tenant_id AND s.id = told.session_id)
$$;
