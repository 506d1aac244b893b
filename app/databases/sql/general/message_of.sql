-- What the version before calls; see get_message.
CREATE OR REPLACE FUNCTION message_of(tenant uuid, owner uuid, session uuid, place bigint)
RETURNS TABLE (
    id uuid, "position" bigint, role varchar, content text, parts text, metadata text,
    client_id varchar, status varchar, created_by uuid, created_at timestamptz,
    updated_at timestamptz, version bigint, changed_at timestamptz
) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SET LOCAL app.tenant_id = %L', tenant);
    RETURN QUERY
        SELECT m.id, m.position, m.role, CASE WHEN m.parts IS NULL THEN m.content END, m.parts,
            m.metadata, m.client_id, m.status, m.created_by, m.created_at, m.updated_at,
            s.version, s.updated_at
        FROM chat_sessions s
        JOIN messages m ON m.tenant_id = s.tenant_id AND m.session_id = s.id
        WHERE s.tenant_id = tenant AND s.id = session AND s.user_id = owner AND m.position = place;
END $$;
