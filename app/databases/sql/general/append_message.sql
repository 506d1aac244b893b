-- What the version before, or the one before that, calls; see add_message.
CREATE OR REPLACE FUNCTION append_message(
    tenant uuid, owner uuid, session uuid, id uuid, role text, content text
) RETURNS TABLE (first_position bigint, created_at timestamptz)
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SET LOCAL app.tenant_id = %L', tenant);
    UPDATE chat_sessions s
    SET message_count = s.message_count + 1, last_position = s.last_position + 1,
        version = s.version + 1, updated_at = now(), changed_minute = date_trunc('minute', now())
    WHERE s.tenant_id = tenant AND s.id = session AND s.user_id IS NOT DISTINCT FROM owner
    RETURNING coalesce(s.last_position, s.message_count), s.updated_at
    INTO first_position, created_at;
    IF FOUND THEN
        INSERT INTO messages (tenant_id, id, session_id, position, role, content, created_at)
        VALUES (tenant, id, session, first_position, role, content, created_at);
        RETURN NEXT;
    END IF;
END $$;
