-- Reads one item of a conversation by its id; see item_place. No row: there is none, or it is not this
-- owner's session.
CREATE OR REPLACE FUNCTION get_item(tenant uuid, owner uuid, session uuid, item text, native uuid)
RETURNS TABLE (
    id uuid, "position" bigint, role varchar, status varchar, content text, parts text,
    item_id varchar, item_members text, is_item boolean, sealed bytea
) LANGUAGE plpgsql AS $$
DECLARE
    place bigint;
BEGIN
    EXECUTE format('SET LOCAL app.tenant_id = %L', tenant);
    place := item_place(tenant, session, item, native);
    RETURN QUERY
        SELECT m.id, m.position, m.role, m.status,
            CASE WHEN m.parts IS NULL AND m.sealed IS NULL THEN m.content END, m.parts, m.item_id,
            m.item_members, m.is_item, m.sealed
        FROM chat_sessions s
        JOIN messages m ON m.tenant_id = s.tenant_id AND m.session_id = s.id
        WHERE s.tenant_id = tenant AND s.id = session AND s.user_id IS NOT DISTINCT FROM owner
        AND m.position = place;
END $$;
