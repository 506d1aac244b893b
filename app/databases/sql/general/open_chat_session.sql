-- What the version before calls; see open_session.
CREATE OR REPLACE FUNCTION open_chat_session(
    tenant uuid, owner uuid, session uuid, name text, not_after timestamptz
) RETURNS TABLE (
    id uuid, title varchar, message_count bigint, created_at timestamptz, updated_at timestamptz
) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SET LOCAL app.tenant_id = %L', tenant);
    PERFORM FROM owners o
    WHERE o.tenant_id = tenant AND o.user_id = owner AND o.state = 'open' FOR KEY SHARE;
    IF NOT FOUND THEN
        -- Never seen here before. One who is closed stays closed, and the check refuses them.
        INSERT INTO owners (tenant_id, user_id) VALUES (tenant, owner) ON CONFLICT DO NOTHING;
    END IF;
    RETURN QUERY
        INSERT INTO chat_sessions AS s (tenant_id, id, user_id, title)
        VALUES (tenant, session, owner, name)
        RETURNING s.id, s.title, s.message_count, s.created_at, s.updated_at;
    PERFORM check_write(tenant, owner, not_after);
END $$;
