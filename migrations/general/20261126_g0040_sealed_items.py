"""Items of conversations are read and written with what is sealed of them."""

from __future__ import annotations

from alembic import op

revision = "g0040"
down_revision = "g0039"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for statement in (LIST_ITEMS, GET_ITEM, WRITE_ITEMS):
        op.execute(statement)


def downgrade() -> None:
    for name in ("write_items", "get_item", "list_items"):
        op.execute(f"DROP FUNCTION {name}")


LIST_ITEMS = """
CREATE FUNCTION list_items(
    tenant uuid, owner uuid, session uuid, newest_first boolean, after_item text,
    after_native uuid, rows bigint, bytes bigint
) RETURNS TABLE (
    id uuid, "position" bigint, role varchar, status varchar, content text, parts text,
    item_id varchar, item_members text, is_item boolean, sealed bytea
) LANGUAGE plpgsql AS $$
DECLARE
    around constant bigint := 300; -- what an item is besides these
    beyond bigint := CASE WHEN newest_first THEN 9223372036854775807 ELSE 0 END;
    sent bigint := 0;
    size integer; -- of a sealed one
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
                CASE WHEN m.parts IS NULL AND m.sealed IS NULL THEN m.content END, m.parts,
                m.item_id, m.item_members, m.is_item, m.sealed, m.sealed_size
            FROM messages m
            WHERE m.tenant_id = tenant AND m.session_id = session AND m.position < beyond
            ORDER BY m.position DESC LIMIT rows;
    ELSE
        OPEN page FOR
            SELECT m.id, m.position, m.role, m.status,
                CASE WHEN m.parts IS NULL AND m.sealed IS NULL THEN m.content END, m.parts,
                m.item_id, m.item_members, m.is_item, m.sealed, m.sealed_size
            FROM messages m
            WHERE m.tenant_id = tenant AND m.session_id = session AND m.position > beyond
            ORDER BY m.position LIMIT rows;
    END IF;
    FOR number IN 1..rows LOOP
        FETCH page
        INTO id, "position", role, status, content, parts, item_id, item_members, is_item, sealed,
            size;
        EXIT WHEN NOT FOUND;
        sent := sent + around
            + coalesce(size, octet_length(coalesce(parts, to_json(content)::text)))
            + coalesce(octet_length(item_members), 0);
        IF sent > bytes AND number > 1 THEN
            content := NULL;
            parts := NULL;
            sealed := NULL;
            RETURN NEXT;
            EXIT;
        END IF;
        RETURN NEXT;
    END LOOP;
    CLOSE page;
END $$
"""

GET_ITEM = """
CREATE FUNCTION get_item(tenant uuid, owner uuid, session uuid, item text, native uuid)
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
END $$
"""

WRITE_ITEMS = """
CREATE FUNCTION write_items(
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
END $$
"""
