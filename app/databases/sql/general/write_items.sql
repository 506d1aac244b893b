-- Appends the items of a conversation, each a message, as write_messages appends messages. An item's id
-- that another one of the session has is not stored: `taken` lists those. `native_ids` are the ids of
-- messages that an item's id spells out. No row: it is not this owner's session.
CREATE OR REPLACE FUNCTION write_items(
    tenant uuid, owner uuid, session uuid, ids uuid[], roles text[], contents text[],
    part_texts text[], statuses text[], item_ids text[], native_ids uuid[], member_texts text[],
    are_items boolean[], author uuid, seals bytea[], seal_sizes integer[], seal_key uuid,
    not_after timestamptz
) RETURNS TABLE (taken text[], version bigint, updated_at timestamptz)
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
    RETURNING coalesce(s.last_position, s.message_count), s.version, s.updated_at
    INTO last, version, updated_at;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    taken := ARRAY(
        SELECT m.item_id FROM messages m
        WHERE m.tenant_id = tenant AND m.session_id = session AND m.item_id = ANY (item_ids)
        UNION ALL
        SELECT 'msg_' || replace(m.id::text, '-', '') FROM messages m
        WHERE m.tenant_id = tenant AND m.session_id = session AND m.id = ANY (native_ids)
        AND m.item_id IS NULL);
    INSERT INTO messages (tenant_id, id, session_id, position, role, content, parts, status,
        item_id, item_members, is_item, created_by, created_at, sealed, sealed_size)
    SELECT s.tenant_id, new.id, s.id, last - cardinality(ids) + new.ordinal, new.role, new.content,
        new.parts, new.status,
        CASE WHEN new.item_id = ANY (taken) THEN NULL ELSE new.item_id END,
        new.members, new.is_item, author, write_items.updated_at, new.sealed, new.size
    FROM chat_sessions s
    CROSS JOIN unnest(ids, roles, contents, part_texts, statuses, item_ids, member_texts, are_items,
        seals, seal_sizes) WITH ORDINALITY
        AS new (id, role, content, parts, status, item_id, members, is_item, sealed, size, ordinal)
    WHERE s.tenant_id = tenant AND s.id = session;
    PERFORM check_write_under(tenant, owner, seal_key, not_after);
    RETURN NEXT;
END $$;
