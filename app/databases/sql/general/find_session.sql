-- What fork_session and the version before call; see get_session.
CREATE OR REPLACE FUNCTION find_session(tenant uuid, owner uuid, session uuid)
RETURNS TABLE (
    id uuid, title varchar, message_count bigint, last_position bigint, version bigint,
    metadata text, external_id varchar, expires_at timestamptz, created_by uuid,
    forked_from_session uuid, forked_from_position bigint, created_at timestamptz,
    updated_at timestamptz, changed_minute timestamptz
) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SET LOCAL app.tenant_id = %L', tenant);
    RETURN QUERY
        SELECT s.id, s.title, s.message_count, s.last_position, s.version, s.metadata,
            s.external_id, s.expires_at, s.created_by, s.forked_from_session,
            s.forked_from_position, s.created_at, s.updated_at, s.changed_minute
        FROM chat_sessions s
        WHERE s.tenant_id = tenant AND s.id = session AND s.user_id = owner;
END $$;
