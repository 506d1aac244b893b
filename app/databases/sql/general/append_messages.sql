-- Appends many messages as append_message appends one; with arrays, a single message would cost a
-- third more.
CREATE OR REPLACE FUNCTION append_messages(
    tenant uuid, owner uuid, session uuid, ids uuid[], roles text[], contents text[]
) RETURNS TABLE (first_position bigint, created_at timestamptz)
LANGUAGE plpgsql AS $$
DECLARE
    last bigint;
BEGIN
    EXECUTE format('SET LOCAL app.tenant_id = %L', tenant);
    UPDATE chat_sessions s
    SET message_count = s.message_count + cardinality(ids), updated_at = now()
    WHERE s.tenant_id = tenant AND s.id = session AND s.user_id = owner
    RETURNING s.message_count, s.updated_at INTO last, created_at;
    IF FOUND THEN
        first_position := last - cardinality(ids) + 1;
        INSERT INTO messages (tenant_id, id, session_id, position, role, content, created_at)
        SELECT tenant, new.id, session, first_position + new.ordinal - 1, new.role, new.content,
            append_messages.created_at
        FROM unnest(ids, roles, contents) WITH ORDINALITY AS new (id, role, content, ordinal);
        RETURN NEXT;
    END IF;
END $$;
