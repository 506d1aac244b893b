-- Reads a page of a session's messages, newest or oldest first, without the contents that are too
-- large for a page: all those given are at most `bytes` together, as JSON in which each byte of a
-- text may take six. Where one is left out, message_page_by_bytes is asked instead. Few pages have
-- one, and adding up the sizes of the others would cost each of them a tenth of its time.
--
-- No row means that it is not this owner's session; a session without messages is one row of NULLs.
--
-- `beyond` is a variable because PostgreSQL takes a coalesce() in the condition for leaky: under
-- row level security it would filter by it, reading from the end of the session, instead of looking
-- the position up in the index.
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
