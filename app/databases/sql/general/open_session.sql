-- Opens a conversation, in one round trip. The owner is locked before anything is written: an
-- erasure closes the owner, then waits for such locks. Nothing is opened, and no row returned, where
-- `expires` has passed by this server's clock.
CREATE OR REPLACE FUNCTION open_session(
    tenant uuid, owner uuid, session uuid, name text, metadata text, tags bytea[], external text,
    expires timestamptz, creator uuid, not_after timestamptz
) RETURNS SETOF chat_sessions LANGUAGE plpgsql AS $$
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
        VALUES (tenant, session, owner, name, metadata, tags, external, expires, creator)
        RETURNING s.*;
    PERFORM check_write(tenant, owner, not_after);
END $$;
