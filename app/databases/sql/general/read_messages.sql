-- What the version before calls; see list_messages.
CREATE OR REPLACE FUNCTION read_messages(
    tenant uuid, owner uuid, session uuid, newest_first boolean, after bigint, rows bigint,
    bytes bigint
) RETURNS TABLE (
    id uuid, "position" bigint, role varchar, content text, parts text, metadata text,
    client_id varchar, status varchar, created_by uuid, created_at timestamptz,
    updated_at timestamptz, version bigint
) LANGUAGE plpgsql AS $$
DECLARE
    beyond bigint := coalesce(after, CASE WHEN newest_first THEN 9223372036854775807 ELSE 0 END);
    around constant bigint := 1024; -- what a message is besides content and metadata, at most
    most bigint := bytes / rows - around;
BEGIN
    EXECUTE format('SET LOCAL app.tenant_id = %L', tenant);
    IF newest_first THEN
        RETURN QUERY
            WITH s AS MATERIALIZED (
                SELECT chat_sessions.version, chat_sessions.updated_at FROM chat_sessions
                WHERE chat_sessions.tenant_id = tenant AND chat_sessions.id = session
                AND chat_sessions.user_id IS NOT DISTINCT FROM owner
            )
            SELECT NULL::uuid, NULL::bigint, NULL::varchar, NULL::text, NULL::text, NULL::text,
                NULL::varchar, NULL::varchar, NULL::uuid, NULL::timestamptz, s.updated_at, s.version
            FROM s
            UNION ALL
            (SELECT m.id, m.position, m.role,
                CASE WHEN m.parts IS NULL
                    AND 6 * octet_length(m.content) + coalesce(octet_length(m.metadata), 0) <= most
                    THEN m.content END,
                CASE WHEN octet_length(m.parts) + coalesce(octet_length(m.metadata), 0) <= most
                    THEN m.parts END,
                m.metadata, m.client_id, m.status, m.created_by, m.created_at, m.updated_at,
                NULL::bigint
            FROM messages m
            WHERE m.tenant_id = tenant AND m.session_id = session AND m.position < beyond
            AND EXISTS (SELECT FROM s)
            ORDER BY m.position DESC LIMIT rows);
    ELSE
        RETURN QUERY
            WITH s AS MATERIALIZED (
                SELECT chat_sessions.version, chat_sessions.updated_at FROM chat_sessions
                WHERE chat_sessions.tenant_id = tenant AND chat_sessions.id = session
                AND chat_sessions.user_id IS NOT DISTINCT FROM owner
            )
            SELECT NULL::uuid, NULL::bigint, NULL::varchar, NULL::text, NULL::text, NULL::text,
                NULL::varchar, NULL::varchar, NULL::uuid, NULL::timestamptz, s.updated_at, s.version
            FROM s
            UNION ALL
            (SELECT m.id, m.position, m.role,
                CASE WHEN m.parts IS NULL
                    AND 6 * octet_length(m.content) + coalesce(octet_length(m.metadata), 0) <= most
                    THEN m.content END,
                CASE WHEN octet_length(m.parts) + coalesce(octet_length(m.metadata), 0) <= most
                    THEN m.parts END,
                m.metadata, m.client_id, m.status, m.created_by, m.created_at, m.updated_at,
                NULL::bigint
            FROM messages m
            WHERE m.tenant_id = tenant AND m.session_id = session AND m.position > beyond
            AND EXISTS (SELECT FROM s)
            ORDER BY m.position LIMIT rows);
    END IF;
END $$;
