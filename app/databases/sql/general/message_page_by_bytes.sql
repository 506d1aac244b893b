-- What the version before calls; see read_messages_by_bytes.
CREATE OR REPLACE FUNCTION message_page_by_bytes(
    tenant uuid, owner uuid, session uuid, newest_first boolean, after bigint, rows bigint,
    bytes bigint
) RETURNS TABLE (
    id uuid, session_id uuid, "position" bigint, role varchar, content text, created_at timestamptz
) LANGUAGE plpgsql AS $$
DECLARE
    beyond bigint := coalesce(after, CASE WHEN newest_first THEN 9223372036854775807 ELSE 0 END);
    around constant bigint := 256; -- what a message is besides its content; a page, besides them
    sent bigint := around;
    page refcursor;
BEGIN
    EXECUTE format('SET LOCAL app.tenant_id = %L', tenant);
    IF newest_first THEN
        OPEN page FOR
            SELECT m.id, s.id, m.position, m.role, m.content, m.created_at
            FROM chat_sessions s LEFT JOIN LATERAL (
                SELECT * FROM messages
                WHERE messages.tenant_id = tenant AND messages.session_id = session
                AND messages.position < beyond
                ORDER BY messages.position DESC LIMIT rows
            ) AS m ON true
            WHERE s.tenant_id = tenant AND s.id = session AND s.user_id = owner;
    ELSE
        OPEN page FOR
            SELECT m.id, s.id, m.position, m.role, m.content, m.created_at
            FROM chat_sessions s LEFT JOIN LATERAL (
                SELECT * FROM messages
                WHERE messages.tenant_id = tenant AND messages.session_id = session
                AND messages.position > beyond
                ORDER BY messages.position LIMIT rows
            ) AS m ON true
            WHERE s.tenant_id = tenant AND s.id = session AND s.user_id = owner;
    END IF;
    FOR number IN 1..rows LOOP
        FETCH page INTO id, session_id, "position", role, content, created_at;
        EXIT WHEN NOT FOUND;
        sent := sent + around + octet_length(to_json(content)::text);
        IF sent > bytes AND number > 1 THEN
            content := NULL;
            RETURN NEXT;
            EXIT;
        END IF;
        RETURN NEXT;
    END LOOP;
    CLOSE page;
END $$;
