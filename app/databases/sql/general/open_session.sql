-- What the version before calls; see begin_session.
CREATE OR REPLACE FUNCTION open_session(
    tenant uuid, owner uuid, session uuid, name text, pairs text, tags bytea[], external text,
    expires timestamptz, creator uuid, not_after timestamptz
) RETURNS TABLE (
    id uuid, title varchar, message_count bigint, last_position bigint, version bigint,
    metadata text, external_id varchar, expires_at timestamptz, created_by uuid,
    forked_from_session uuid, forked_from_position bigint, created_at timestamptz,
    updated_at timestamptz, changed_minute timestamptz
) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SET LOCAL app.tenant_id = %L', tenant);
    IF expires <= now() THEN
        RETURN;
    END IF;
    PERFORM FROM owners o
    WHERE o.tenant_id = tenant AND o.user_id = owner AND o.state = 'open' FOR KEY SHARE;
    IF NOT FOUND THEN
        -- Never seen here before. One who is closed stays closed, and the check refuses them.
        INSERT INTO owners (tenant_id, user_id) VALUES (tenant, owner) ON CONFLICT DO NOTHING;
    END IF;
    RETURN QUERY
        INSERT INTO chat_sessions AS s (
            tenant_id, id, user_id, title, metadata, metadata_tags, external_id, expires_at,
            created_by)
        VALUES (tenant, session, owner, name, pairs, tags, external, expires, creator)
        RETURNING s.id, s.title, s.message_count, s.last_position, s.version, s.metadata,
            s.external_id, s.expires_at, s.created_by, s.forked_from_session,
            s.forked_from_position, s.created_at, s.updated_at, s.changed_minute;
    PERFORM check_write(tenant, owner, not_after);
END $$;
