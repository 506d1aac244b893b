-- Changes what is said at a position of one of the owner's sessions: the content and the metadata
-- where `has_…` says so, the status where it is not NULL. No row: there is no such message.
--
-- `refusal` is NULL for what was done. 'role': only the user's own messages may be edited, and this
-- is another's. 'changed': the session is not in the state that was expected, any where that is NULL;
-- `version` and `changed_at` are of its present state. 'other': what `new_seal` was made of is not what
-- is there. All that is said is sealed in one piece, so it is read first: `seen_seal` is how it began,
-- NULL for a plain message, and `seen_at` its `updated_at`.
--
-- The session's row is locked before anything is looked at, as in every change of its messages: what
-- is found holds until COMMIT, and of many who expect the same state one is first.
CREATE OR REPLACE FUNCTION change_message(
    tenant uuid, owner uuid, session uuid, place bigint, expected_version bigint,
    expected_at timestamptz, any_role boolean, is_reworded boolean, has_content boolean,
    new_content text, new_parts text, has_metadata boolean, new_metadata text, new_status text,
    new_seal bytea, new_seal_size integer, new_digest bytea, seen_seal bytea, seen_at timestamptz,
    seal_key uuid, not_after timestamptz
) RETURNS TABLE (
    id uuid, "position" bigint, role varchar, content text, parts text, metadata text,
    client_id varchar, status varchar, created_by uuid, created_at timestamptz,
    updated_at timestamptz, sealed bytea, version bigint, changed_at timestamptz, refusal text
) LANGUAGE plpgsql AS $$
DECLARE
    head constant integer := 13; -- a version and a nonce, which no two have
BEGIN
    EXECUTE format('SET LOCAL app.tenant_id = %L', tenant);
    SELECT s.version, s.updated_at INTO version, changed_at FROM chat_sessions s
    WHERE s.tenant_id = tenant AND s.id = session AND s.user_id = owner FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT m.role, m.updated_at, substr(m.sealed, 1, head) INTO role, updated_at, sealed
    FROM messages m
    WHERE m.tenant_id = tenant AND m.session_id = session AND m.position = place;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    refusal := CASE
        WHEN role <> 'user' AND NOT any_role THEN 'role'
        WHEN (expected_version, expected_at) <> (version, changed_at) THEN 'changed'
        WHEN new_seal IS NOT NULL
            AND (seen_seal, seen_at) IS DISTINCT FROM (sealed, updated_at) THEN 'other'
        WHEN new_seal IS NULL AND sealed IS NOT NULL
            AND (has_content OR has_metadata) THEN 'other' END;
    IF sealed IS NOT NULL AND seal_key IS NULL THEN
        RAISE EXCEPTION 'who has the key changes what is sealed' USING ERRCODE = 'BC042';
    END IF;
    IF refusal IS NULL THEN
        PERFORM check_overwrite(tenant, owner);
        UPDATE chat_sessions s SET version = s.version + 1, updated_at = now(),
            changed_minute = date_trunc('minute', now())
        WHERE s.tenant_id = tenant AND s.id = session
        RETURNING s.version, s.updated_at INTO version, changed_at;
        UPDATE messages m SET
            sealed = coalesce(new_seal, m.sealed),
            sealed_size = coalesce(new_seal_size, m.sealed_size),
            client_digest = CASE WHEN new_seal IS NULL THEN m.client_digest ELSE new_digest END,
            content = CASE WHEN has_content THEN new_content ELSE m.content END,
            parts = CASE WHEN has_content THEN new_parts ELSE m.parts END,
            item_members = CASE WHEN NOT has_content THEN m.item_members END,
            is_item = m.is_item AND NOT is_reworded,
            metadata = CASE WHEN has_metadata THEN new_metadata ELSE m.metadata END,
            status = coalesce(new_status, m.status), updated_at = changed_at
        WHERE m.tenant_id = tenant AND m.session_id = session AND m.position = place
        RETURNING m.id, m.position,
            CASE WHEN m.parts IS NULL AND m.sealed IS NULL THEN m.content END, m.parts, m.metadata,
            m.client_id, m.status, m.created_by, m.created_at, m.updated_at, m.sealed
        INTO id, "position", content, parts, metadata, client_id, status, created_by, created_at,
            updated_at, sealed;
        PERFORM forget_answers(tenant, session, place, place);
        PERFORM check_write_under(
            tenant, owner, CASE WHEN new_seal IS NOT NULL THEN seal_key END, not_after);
    END IF;
    RETURN NEXT;
END $$;
