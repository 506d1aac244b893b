-- Appends one message to a session, while its owner may write. Raising the count takes the session's
-- row lock, so that concurrent writers queue here and positions have no gaps: `last_position` stays
-- NULL until a message is deleted, and stands for `message_count` till then. If the session is not
-- this owner's, nothing is inserted and no row is returned.
--
-- `expected_version` and `expected_at` are the state in which the writer has seen the session, NULL
-- for any. They are compared under the row's lock; where somebody was faster, the row returned has
-- the session's present state and no position.
--
-- What check_write_under checks is looked at here first, since calling another function costs as much
-- as the look itself: it is called where something is in the way, or the owner has no key yet.
--
-- The owner is compared by IS NOT DISTINCT FROM, here and in the functions beside this one, because no
-- index serves that: with `=`, a plan that is made for small tenants may take an index of the owner's
-- sessions, and read all of them to find the one.
CREATE OR REPLACE FUNCTION write_message(
    tenant uuid, owner uuid, session uuid, id uuid, role text, content text, parts text,
    metadata text, status text, author uuid, expected_version bigint, expected_at timestamptz,
    sealed bytea, sealed_size integer, seal_key uuid, not_after timestamptz
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
            status, created_by, created_at, sealed, sealed_size)
        VALUES (tenant, id, session, "position", role, content, parts, metadata,
            status, author, updated_at, sealed, sealed_size);
        PERFORM FROM owners o WHERE o.tenant_id = tenant AND o.user_id = owner
        AND o.state = 'open' AND (seal_key IS NULL OR o.key_id = seal_key);
        IF NOT FOUND OR clock_timestamp() > not_after THEN
            PERFORM check_write_under(tenant, owner, seal_key, not_after);
        END IF;
        RETURN NEXT;
    ELSIF expected_version IS NOT NULL THEN
        RETURN QUERY
            SELECT NULL::bigint, s.version, s.updated_at FROM chat_sessions s
            WHERE s.tenant_id = tenant AND s.id = session AND s.user_id IS NOT DISTINCT FROM owner;
    END IF;
END $$;
