-- Deletes the messages from one position of one of the owner's sessions to another, one statement
-- however many. No row: it is not this owner's session. Where there is no such message, nothing
-- changes, and where the session is not in the state that was expected (any, for NULL) neither.
--
-- `last_position` is kept from the first deletion on: no position is given twice.
CREATE OR REPLACE FUNCTION delete_messages(
    tenant uuid, owner uuid, session uuid, first bigint, last bigint, expected_version bigint,
    expected_at timestamptz, not_after timestamptz
) RETURNS TABLE (
    is_there boolean, is_expected boolean, deleted bigint, version bigint, changed_at timestamptz
) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SET LOCAL app.tenant_id = %L', tenant);
    SELECT s.version, s.updated_at INTO version, changed_at FROM chat_sessions s
    WHERE s.tenant_id = tenant AND s.id = session AND s.user_id = owner FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    is_there := EXISTS (
        SELECT FROM messages m
        WHERE m.tenant_id = tenant AND m.session_id = session
        AND m.position >= first AND m.position <= last);
    is_expected := expected_version IS NULL
        OR (expected_version = version AND expected_at = changed_at);
    deleted := 0;
    IF is_there AND is_expected THEN
        PERFORM check_overwrite(tenant, owner);
        DELETE FROM messages m
        WHERE m.tenant_id = tenant AND m.session_id = session
        AND m.position >= first AND m.position <= last;
        GET DIAGNOSTICS deleted = ROW_COUNT;
        UPDATE chat_sessions s SET message_count = s.message_count - deleted,
            last_position = coalesce(s.last_position, s.message_count),
            version = s.version + 1, updated_at = now(),
            changed_minute = date_trunc('minute', now())
        WHERE s.tenant_id = tenant AND s.id = session
        RETURNING s.version, s.updated_at INTO version, changed_at;
        PERFORM forget_answers(tenant, session, first, last);
    END IF;
    PERFORM check_write(tenant, owner, not_after);
    RETURN NEXT;
END $$;
