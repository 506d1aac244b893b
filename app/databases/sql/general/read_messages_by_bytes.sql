-- What the version before calls; see list_messages_by_bytes.
CREATE OR REPLACE FUNCTION read_messages_by_bytes(
    tenant uuid, owner uuid, session uuid, newest_first boolean, after bigint, rows bigint,
    bytes bigint
) RETURNS TABLE (
    id uuid, "position" bigint, role varchar, content text, parts text, metadata text,
    client_id varchar, status varchar, created_by uuid, created_at timestamptz,
    updated_at timestamptz, version bigint
) LANGUAGE plpgsql AS $$
DECLARE
    beyond bigint := coalesce(after, CASE WHEN newest_first THEN 9223372036854775807 ELSE 0 END);
    around constant bigint := 400; -- what a message is besides these; a page, besides its messages
    sent bigint := around;
    page refcursor;
    row record;
BEGIN
    EXECUTE format('SET LOCAL app.tenant_id = %L', tenant);
    IF newest_first THEN
        OPEN page FOR
            SELECT m.*, s.version AS session_version, s.updated_at AS session_updated_at
            FROM chat_sessions s LEFT JOIN LATERAL (
                SELECT * FROM messages
                WHERE messages.tenant_id = tenant AND messages.session_id = session
                AND messages.position < beyond
                ORDER BY messages.position DESC LIMIT rows
            ) AS m ON true
            WHERE s.tenant_id = tenant AND s.id = session AND s.user_id IS NOT DISTINCT FROM owner;
    ELSE
        OPEN page FOR
            SELECT m.*, s.version AS session_version, s.updated_at AS session_updated_at
            FROM chat_sessions s LEFT JOIN LATERAL (
                SELECT * FROM messages
                WHERE messages.tenant_id = tenant AND messages.session_id = session
                AND messages.position > beyond
                ORDER BY messages.position LIMIT rows
            ) AS m ON true
            WHERE s.tenant_id = tenant AND s.id = session AND s.user_id IS NOT DISTINCT FROM owner;
    END IF;
    FOR number IN 1..rows LOOP
        FETCH page INTO row;
        EXIT WHEN NOT FOUND;
        IF number = 1 THEN
            version := row.session_version;
            updated_at := row.session_updated_at;
            RETURN NEXT;
            version := NULL;
        END IF;
        EXIT WHEN row.id IS NULL; -- a session without messages
        id := row.id;
        "position" := row.position;
        role := row.role;
        content := NULL;
        parts := NULL;
        sent := sent + around + octet_length(coalesce(row.parts, to_json(row.content)::text))
            + coalesce(octet_length(row.metadata), 0)
            + 2 * coalesce(octet_length(row.client_id), 0);
        IF sent > bytes AND number > 1 THEN
            RETURN NEXT;
            EXIT;
        END IF;
        IF row.parts IS NULL THEN
            content := row.content;
        END IF;
        parts := row.parts;
        metadata := row.metadata;
        client_id := row.client_id;
        status := row.status;
        created_by := row.created_by;
        created_at := row.created_at;
        updated_at := row.updated_at;
        RETURN NEXT;
    END LOOP;
    CLOSE page;
END $$;
