-- What the version before calls; see find_session.
CREATE OR REPLACE FUNCTION chat_session_of(tenant uuid, owner uuid, session uuid)
RETURNS TABLE (
    id uuid, title varchar, message_count bigint, created_at timestamptz, updated_at timestamptz
) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SET LOCAL app.tenant_id = %L', tenant);
    RETURN QUERY
        SELECT s.id, s.title, s.message_count, s.created_at, s.updated_at FROM chat_sessions s
        WHERE s.tenant_id = tenant AND s.id = session AND s.user_id = owner;
END $$;
