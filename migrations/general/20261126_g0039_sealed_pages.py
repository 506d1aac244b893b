"""Messages are read with what is sealed of them."""

from __future__ import annotations

from alembic import op

revision = "g0039"
down_revision = "g0038"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for statement in (GET_MESSAGE, LIST_MESSAGES, LIST_MESSAGES_BY_BYTES):
        op.execute(statement)


def downgrade() -> None:
    for name in ("list_messages_by_bytes", "list_messages", "get_message"):
        op.execute(f"DROP FUNCTION {name}")


GET_MESSAGE = """
CREATE FUNCTION get_message(tenant uuid, owner uuid, session uuid, place bigint)
RETURNS TABLE (
    id uuid, "position" bigint, role varchar, content text, parts text, metadata text,
    client_id varchar, status varchar, created_by uuid, created_at timestamptz,
    updated_at timestamptz, sealed bytea, version bigint, changed_at timestamptz,
    item_members text, client_digest bytea
) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SET LOCAL app.tenant_id = %L', tenant);
    RETURN QUERY
        SELECT m.id, m.position, m.role,
            CASE WHEN m.parts IS NULL AND m.sealed IS NULL THEN m.content END, m.parts, m.metadata,
            m.client_id, m.status, m.created_by, m.created_at, m.updated_at,
            m.sealed, s.version, s.updated_at, m.item_members, m.client_digest
        FROM chat_sessions s
        JOIN messages m ON m.tenant_id = s.tenant_id AND m.session_id = s.id
        WHERE s.tenant_id = tenant AND s.id = session AND s.user_id = owner AND m.position = place;
END $$
"""

LIST_MESSAGES = """
CREATE FUNCTION list_messages(
    tenant uuid, owner uuid, session uuid, newest_first boolean, after bigint, rows bigint,
    bytes bigint
) RETURNS TABLE (
    id uuid, "position" bigint, role varchar, content text, parts text, metadata text,
    client_id varchar, status varchar, created_by uuid, created_at timestamptz,
    updated_at timestamptz, sealed bytea, version bigint
) LANGUAGE plpgsql AS $$
DECLARE
    beyond bigint := coalesce(after, CASE WHEN newest_first THEN 9223372036854775807 ELSE 0 END);
    around constant bigint := 1024; -- what a message is besides content and metadata, at most
    most bigint := bytes / rows - around;
BEGIN
    EXECUTE format('SET LOCAL app.tenant_id = %L', tenant);
    IF newest_first THEN
        RETURN QUERY
            WITH s AS MATERIALIZED (
                SELECT chat_sessions.version, chat_sessions.updated_at FROM chat_sessions
                WHERE chat_sessions.tenant_id = tenant AND chat_sessions.id = session
                AND chat_sessions.user_id IS NOT DISTINCT FROM owner
            )
            SELECT NULL::uuid, NULL::bigint, NULL::varchar, NULL::text, NULL::text, NULL::text,
                NULL::varchar, NULL::varchar, NULL::uuid, NULL::timestamptz, s.updated_at,
                NULL::bytea, s.version
            FROM s
            UNION ALL
            (SELECT m.id, m.position, m.role,
                CASE WHEN m.parts IS NULL AND m.sealed IS NULL
                    AND 6 * octet_length(m.content) + coalesce(octet_length(m.metadata), 0) <= most
                    THEN m.content END,
                CASE WHEN octet_length(m.parts) + coalesce(octet_length(m.metadata), 0) <= most
                    THEN m.parts END,
                m.metadata, m.client_id, m.status, m.created_by, m.created_at, m.updated_at,
                CASE WHEN m.sealed_size <= most THEN m.sealed END, NULL::bigint
            FROM messages m
            WHERE m.tenant_id = tenant AND m.session_id = session AND m.position < beyond
            AND EXISTS (SELECT FROM s)
            ORDER BY m.position DESC LIMIT rows);
    ELSE
        RETURN QUERY
            WITH s AS MATERIALIZED (
                SELECT chat_sessions.version, chat_sessions.updated_at FROM chat_sessions
                WHERE chat_sessions.tenant_id = tenant AND chat_sessions.id = session
                AND chat_sessions.user_id IS NOT DISTINCT FROM owner
            )
            SELECT NULL::uuid, NULL::bigint, NULL::varchar, NULL::text, NULL::text, NULL::text,
                NULL::varchar, NULL::varchar, NULL::uuid, NULL::timestamptz, s.updated_at,
                NULL::bytea, s.version
            FROM s
            UNION ALL
            (SELECT m.id, m.position, m.role,
                CASE WHEN m.parts IS NULL AND m.sealed IS NULL
                    AND 6 * octet_length(m.content) + coalesce(octet_length(m.metadata), 0) <= most
                    THEN m.content END,
                CASE WHEN octet_length(m.parts) + coalesce(octet_length(m.metadata), 0) <= most
                    THEN m.parts END,
                m.metadata, m.client_id, m.status, m.created_by, m.created_at, m.updated_at,
                CASE WHEN m.sealed_size <= most THEN m.sealed END, NULL::bigint
            FROM messages m
            WHERE m.tenant_id = tenant AND m.session_id = session AND m.position > beyond
            AND EXISTS (SELECT FROM s)
            ORDER BY m.position LIMIT rows);
    END IF;
END $$
"""

LIST_MESSAGES_BY_BYTES = """
CREATE FUNCTION list_messages_by_bytes(
    tenant uuid, owner uuid, session uuid, newest_first boolean, after bigint, rows bigint,
    bytes bigint
) RETURNS TABLE (
    id uuid, "position" bigint, role varchar, content text, parts text, metadata text,
    client_id varchar, status varchar, created_by uuid, created_at timestamptz,
    updated_at timestamptz, sealed bytea, version bigint
) LANGUAGE plpgsql AS $$
DECLARE
    beyond bigint := coalesce(after, CASE WHEN newest_first THEN 9223372036854775807 ELSE 0 END);
    around constant bigint := 400; -- what a message is besides these; a page, besides its messages
    sent bigint := around;
    page refcursor;
    row record;
BEGIN
    EXECUTE format('SET LOCAL app.tenant_id = %L', tenant);
    IF newest_first THEN
        OPEN page FOR
            SELECT m.*, s.version AS session_version, s.updated_at AS session_updated_at
            FROM chat_sessions s LEFT JOIN LATERAL (
                SELECT * FROM messages
                WHERE messages.tenant_id = tenant AND messages.session_id = session
                AND messages.position < beyond
                ORDER BY messages.position DESC LIMIT rows
            ) AS m ON true
            WHERE s.tenant_id = tenant AND s.id = session AND s.user_id IS NOT DISTINCT FROM owner;
    ELSE
        OPEN page FOR
            SELECT m.*, s.version AS session_version, s.updated_at AS session_updated_at
            FROM chat_sessions s LEFT JOIN LATERAL (
                SELECT * FROM messages
                WHERE messages.tenant_id = tenant AND messages.session_id = session
                AND messages.position > beyond
                ORDER BY messages.position LIMIT rows
            ) AS m ON true
            WHERE s.tenant_id = tenant AND s.id = session AND s.user_id IS NOT DISTINCT FROM owner;
    END IF;
    FOR number IN 1..rows LOOP
        FETCH page INTO row;
        EXIT WHEN NOT FOUND;
        IF number = 1 THEN
            version := row.session_version;
            updated_at := row.session_updated_at;
            RETURN NEXT;
            version := NULL;
        END IF;
        EXIT WHEN row.id IS NULL; -- a session without messages
        id := row.id;
        "position" := row.position;
        role := row.role;
        content := NULL;
        parts := NULL;
        sealed := NULL;
        sent := sent + around + coalesce(row.sealed_size,
                octet_length(coalesce(row.parts, to_json(row.content)::text)))
            + coalesce(octet_length(row.metadata), 0)
            + 2 * coalesce(octet_length(row.client_id), 0);
        IF sent > bytes AND number > 1 THEN
            RETURN NEXT;
            EXIT;
        END IF;
        IF row.parts IS NULL AND row.sealed IS NULL THEN
            content := row.content;
        END IF;
        parts := row.parts;
        metadata := row.metadata;
        client_id := row.client_id;
        status := row.status;
        created_by := row.created_by;
        created_at := row.created_at;
        updated_at := row.updated_at;
        sealed := row.sealed;
        RETURN NEXT;
    END LOOP;
    CLOSE page;
END $$
"""
