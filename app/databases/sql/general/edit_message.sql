-- What the version before calls; see change_message.
CREATE OR REPLACE FUNCTION edit_message(
    tenant uuid, owner uuid, session uuid, place bigint, expected_version bigint,
    expected_at timestamptz, any_role boolean, has_content boolean, new_content text,
    new_parts text, has_metadata boolean, new_metadata text, new_status text,
    not_after timestamptz
) RETURNS TABLE (
    id uuid, "position" bigint, role varchar, content text, parts text, metadata text,
    client_id varchar, status varchar, created_by uuid, created_at timestamptz,
    updated_at timestamptz, version bigint, changed_at timestamptz, refusal text
) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SET LOCAL app.tenant_id = %L', tenant);
    SELECT s.version, s.updated_at INTO version, changed_at FROM chat_sessions s
    WHERE s.tenant_id = tenant AND s.id = session AND s.user_id = owner FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT m.role INTO role FROM messages m
    WHERE m.tenant_id = tenant AND m.session_id = session AND m.position = place;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    refusal := CASE
        WHEN role <> 'user' AND NOT any_role THEN 'role'
        WHEN (expected_version, expected_at) <> (version, changed_at) THEN 'changed' END;
    IF refusal IS NULL THEN
        PERFORM check_overwrite(tenant, owner);
        UPDATE chat_sessions s SET version = s.version + 1, updated_at = now(),
            changed_minute = date_trunc('minute', now())
        WHERE s.tenant_id = tenant AND s.id = session
        RETURNING s.version, s.updated_at INTO version, changed_at;
        UPDATE messages m SET
            content = CASE WHEN has_content THEN new_content ELSE m.content END,
            parts = CASE WHEN has_content THEN new_parts ELSE m.parts END,
            item_members = CASE WHEN NOT has_content THEN m.item_members END,
            is_item = m.is_item AND NOT has_content,
            metadata = CASE WHEN has_metadata THEN new_metadata ELSE m.metadata END,
            status = coalesce(new_status, m.status), updated_at = changed_at
        WHERE m.tenant_id = tenant AND m.session_id = session AND m.position = place
        RETURNING m.id, m.position, CASE WHEN m.parts IS NULL THEN m.content END, m.parts,
            m.metadata, m.client_id, m.status, m.created_by, m.created_at, m.updated_at
        INTO id, "position", content, parts, metadata, client_id, status, created_by, created_at,
            updated_at;
        PERFORM forget_answers(tenant, session, place, place);
        PERFORM check_write(tenant, owner, not_after);
    END IF;
    RETURN NEXT;
END $$;
