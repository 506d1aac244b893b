-- Locks one of the owner's sessions against changes while it is copied up to the position `up_to`, or
-- whole, and returns that position and how many messages it takes. No row: it is not this owner's.
CREATE OR REPLACE FUNCTION lock_fork(
    tenant uuid, owner uuid, session uuid, up_to bigint, most_messages bigint
) RETURNS TABLE (last bigint, messages bigint) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SET LOCAL app.tenant_id = %L', tenant);
    PERFORM FROM owners o WHERE o.tenant_id = tenant AND o.user_id = owner FOR KEY SHARE;
    SELECT coalesce(s.last_position, s.message_count) INTO last FROM chat_sessions s
    WHERE s.tenant_id = tenant AND s.id = session AND s.user_id = owner FOR SHARE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF up_to > last THEN
        RAISE EXCEPTION 'the session ends before this position' USING ERRCODE = 'BC021';
    END IF;
    last := coalesce(up_to, last);
    SELECT count(*) INTO messages FROM (
        SELECT FROM messages m
        WHERE m.tenant_id = tenant AND m.session_id = session AND m.position <= last
        LIMIT most_messages + 1) AS m;
    IF messages > most_messages THEN
        RAISE EXCEPTION 'there is too much to copy' USING ERRCODE = 'BC022';
    END IF;
    RETURN NEXT;
END $$;
