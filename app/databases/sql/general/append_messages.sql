-- What the version before, or the one before that, calls; see add_messages.
CREATE OR REPLACE FUNCTION append_messages(
    tenant uuid, owner uuid, session uuid, ids uuid[], roles text[], contents text[]
) RETURNS TABLE (first_position bigint, created_at timestamptz)
LANGUAGE plpgsql AS $$
DECLARE
    last bigint;
BEGIN
    EXECUTE format('SET LOCAL app.tenant_id = %L', tenant);
    UPDATE chat_sessions s
    SET message_count = s.message_count + cardinality(ids),
        last_position = s.last_position + cardinality(ids), version = s.version + 1,
        updated_at = now(), changed_minute = date_trunc('minute', now())
    WHERE s.tenant_id = tenant AND s.id = session AND s.user_id IS NOT DISTINCT FROM owner
    RETURNING coalesce(s.last_position, s.message_count), s.updated_at INTO last, created_at;
    IF FOUND THEN
        first_position := last - cardinality(ids) + 1;
        INSERT INTO messages (tenant_id, id, session_id, position, role, content, created_at)
        SELECT s.tenant_id, new.id, s.id, first_position + new.ordinal - 1, new.role, new.content,
            append_messages.created_at
        FROM chat_sessions s
        CROSS JOIN unnest(ids, roles, contents) WITH ORDINALITY AS new (id, role, content, ordinal)
        WHERE s.tenant_id = tenant AND s.id = session;
        RETURN NEXT;
    END IF;
END $$;
