-- What the version before calls; see store_message.
CREATE OR REPLACE FUNCTION add_message(
    tenant uuid, owner uuid, session uuid, id uuid, role text, content text,
    not_after timestamptz
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
        PERFORM check_write(tenant, owner, not_after);
        RETURN NEXT;
    END IF;
END $$;
