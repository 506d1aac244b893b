-- What the version before calls; see list_items.
CREATE OR REPLACE FUNCTION read_items(
    tenant uuid, owner uuid, session uuid, newest_first boolean, after_item text,
    after_native uuid, rows bigint, bytes bigint
) RETURNS TABLE (
    id uuid, "position" bigint, role varchar, status varchar, content text, parts text,
    item_id varchar, item_members text, is_item boolean
) LANGUAGE plpgsql AS $$
DECLARE
    around constant bigint := 300; -- what an item is besides these
    beyond bigint := CASE WHEN newest_first THEN 9223372036854775807 ELSE 0 END;
    sent bigint := 0;
    page refcursor;
BEGIN
    EXECUTE format('SET LOCAL app.tenant_id = %L', tenant);
    PERFORM FROM chat_sessions s
    WHERE s.tenant_id = tenant AND s.id = session AND s.user_id IS NOT DISTINCT FROM owner;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF after_item IS NOT NULL THEN
        beyond := item_place(tenant, session, after_item, after_native);
    END IF;
    "position" := beyond;
    RETURN NEXT;
    IF newest_first THEN
        OPEN page FOR
            SELECT m.id, m.position, m.role, m.status,
                CASE WHEN m.parts IS NULL THEN m.content END, m.parts, m.item_id, m.item_members,
                m.is_item
            FROM messages m
            WHERE m.tenant_id = tenant AND m.session_id = session AND m.position < beyond
            ORDER BY m.position DESC LIMIT rows;
    ELSE
        OPEN page FOR
            SELECT m.id, m.position, m.role, m.status,
                CASE WHEN m.parts IS NULL THEN m.content END, m.parts, m.item_id, m.item_members,
                m.is_item
            FROM messages m
            WHERE m.tenant_id = tenant AND m.session_id = session AND m.position > beyond
            ORDER BY m.position LIMIT rows;
    END IF;
    FOR number IN 1..rows LOOP
        FETCH page
        INTO id, "position", role, status, content, parts, item_id, item_members, is_item;
        EXIT WHEN NOT FOUND;
        sent := sent + around + octet_length(coalesce(parts, to_json(content)::text))
            + coalesce(octet_length(item_members), 0);
        IF sent > bytes AND number > 1 THEN
            content := NULL;
            parts := NULL;
            RETURN NEXT;
            EXIT;
        END IF;
        RETURN NEXT;
    END LOOP;
    CLOSE page;
END $$;
