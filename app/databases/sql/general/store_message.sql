-- What the version before calls; see write_message.
CREATE OR REPLACE FUNCTION store_message(
    tenant uuid, owner uuid, session uuid, id uuid, role text, content text, parts text,
    metadata text, status text, author uuid, expected_version bigint, expected_at timestamptz,
    not_after timestamptz
) RETURNS TABLE ("position" bigint, version bigint, updated_at timestamptz)
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SET LOCAL app.tenant_id = %L', tenant);
    UPDATE chat_sessions s
    SET message_count = s.message_count + 1, last_position = s.last_position + 1,
        version = s.version + 1, updated_at = now(), changed_minute = date_trunc('minute', now())
    WHERE s.tenant_id = tenant AND s.id = session AND s.user_id IS NOT DISTINCT FROM owner
    AND (expected_version IS NULL OR s.version = expected_version AND s.updated_at = expected_at)
    RETURNING coalesce(s.last_position, s.message_count), s.version, s.updated_at
    INTO "position", version, updated_at;
    IF FOUND THEN
        INSERT INTO messages (tenant_id, id, session_id, position, role, content, parts, metadata,
            status, created_by, created_at)
        VALUES (tenant, id, session, "position", role, content, parts, metadata,
            status, author, updated_at);
        PERFORM check_write(tenant, owner, not_after);
        RETURN NEXT;
    ELSIF expected_version IS NOT NULL THEN
        RETURN QUERY
            SELECT NULL::bigint, s.version, s.updated_at FROM chat_sessions s
            WHERE s.tenant_id = tenant AND s.id = session AND s.user_id IS NOT DISTINCT FROM owner;
    END IF;
END $$;
