-- Appends many messages as add_message appends one; with arrays, a single message would cost a third
-- more. They are selected from the session's row, which names the tenant: a sharded database takes no
-- INSERT … SELECT from what is no table.
CREATE OR REPLACE FUNCTION add_messages(
    tenant uuid, owner uuid, session uuid, ids uuid[], roles text[], contents text[],
    not_after timestamptz
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
        SELECT s.tenant_id, new.id, s.id, first_position + new.ordinal - 1, new.role, new.content,
            add_messages.created_at
        FROM chat_sessions s
        CROSS JOIN unnest(ids, roles, contents) WITH ORDINALITY AS new (id, role, content, ordinal)
        WHERE s.tenant_id = tenant AND s.id = session;
        PERFORM check_write(tenant, owner, not_after);
        RETURN NEXT;
    END IF;
END $$;
