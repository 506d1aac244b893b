-- What the version before calls; see read_messages.
CREATE OR REPLACE FUNCTION small_message_page(
    tenant uuid, owner uuid, session uuid, newest_first boolean, after bigint, rows bigint,
    bytes bigint
) RETURNS TABLE (
    id uuid, session_id uuid, "position" bigint, role varchar, content text, created_at timestamptz
) LANGUAGE plpgsql AS $$
DECLARE
    beyond bigint := coalesce(after, CASE WHEN newest_first THEN 9223372036854775807 ELSE 0 END);
    around constant bigint := 256; -- what a message is besides its content
    largest bigint := (bytes / rows - around) / 6;
BEGIN
    EXECUTE format('SET LOCAL app.tenant_id = %L', tenant);
    IF newest_first THEN
        RETURN QUERY
            SELECT m.id, s.id, m.position, m.role,
                CASE WHEN octet_length(m.content) <= largest THEN m.content END, m.created_at
            FROM chat_sessions s LEFT JOIN LATERAL (
                SELECT * FROM messages
                WHERE messages.tenant_id = tenant AND messages.session_id = session
                AND messages.position < beyond
                ORDER BY messages.position DESC LIMIT rows
            ) AS m ON true
            WHERE s.tenant_id = tenant AND s.id = session AND s.user_id = owner;
    ELSE
        RETURN QUERY
            SELECT m.id, s.id, m.position, m.role,
                CASE WHEN octet_length(m.content) <= largest THEN m.content END, m.created_at
            FROM chat_sessions s LEFT JOIN LATERAL (
                SELECT * FROM messages
                WHERE messages.tenant_id = tenant AND messages.session_id = session
                AND messages.position > beyond
                ORDER BY messages.position LIMIT rows
            ) AS m ON true
            WHERE s.tenant_id = tenant AND s.id = session AND s.user_id = owner;
    END IF;
END $$;
