"""A page has messages with parts, and the state of its session."""

from __future__ import annotations

from alembic import op

revision = "g0029"
down_revision = "g0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for statement in (READ_MESSAGES, READ_MESSAGES_BY_BYTES):
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP FUNCTION read_messages_by_bytes")
    op.execute("DROP FUNCTION read_messages")


READ_MESSAGES = """
CREATE FUNCTION read_messages(
    tenant uuid, owner uuid, session uuid, newest_first boolean, after bigint, rows bigint,
    bytes bigint
) RETURNS TABLE (
    id uuid, "position" bigint, role varchar, content text, parts text, metadata text,
    client_id varchar, status varchar, created_by uuid, created_at timestamptz,
    updated_at timestamptz, version bigint
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
                NULL::varchar, NULL::varchar, NULL::uuid, NULL::timestamptz, s.updated_at, s.version
            FROM s
            UNION ALL
            (SELECT m.id, m.position, m.role,
                CASE WHEN m.parts IS NULL
                    AND 6 * octet_length(m.content) + coalesce(octet_length(m.metadata), 0) <= most
                    THEN m.content END,
                CASE WHEN octet_length(m.parts) + coalesce(octet_length(m.metadata), 0) <= most
                    THEN m.parts END,
                m.metadata, m.client_id, m.status, m.created_by, m.created_at, m.updated_at,
                NULL::bigint
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
                NULL::varchar, NULL::varchar, NULL::uuid, NULL::timestamptz, s.updated_at, s.version
            FROM s
            UNION ALL
            (SELECT m.id, m.position, m.role,
                CASE WHEN m.parts IS NULL
                    AND 6 * octet_length(m.content) + coalesce(octet_length(m.metadata), 0) <= most
                    THEN m.content END,
                CASE WHEN octet_length(m.parts) + coalesce(octet_length(m.metadata), 0) <= most
                    THEN m.parts END,
                m.metadata, m.client_id, m.status, m.created_by, m.created_at, m.updated_at,
                NULL::bigint
            FROM messages m
            WHERE m.tenant_id = tenant AND m.session_id = session AND m.position > beyond
            AND EXISTS (SELECT FROM s)
            ORDER BY m.position LIMIT rows);
    END IF;
END $$
"""

READ_MESSAGES_BY_BYTES = """
CREATE FUNCTION read_messages_by_bytes(
    tenant uuid, owner uuid, session uuid, newest_first boolean, after bigint, rows bigint,
    bytes bigint
) RETURNS TABLE (
    id uuid, "position" bigint, role varchar, content text, parts text, metadata text,
    client_id varchar, status varchar, created_by uuid, created_at timestamptz,
    updated_at timestamptz, version bigint
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
        sent := sent + around + octet_length(coalesce(row.parts, to_json(row.content)::text))
            + coalesce(octet_length(row.metadata), 0)
            + 2 * coalesce(octet_length(row.client_id), 0);
        IF sent > bytes AND number > 1 THEN
            RETURN NEXT;
            EXIT;
        END IF;
        IF row.parts IS NULL THEN
            content := row.content;
        END IF;
        parts := row.parts;
        metadata := row.metadata;
        client_id := row.client_id;
        status := row.status;
        created_by := row.created_by;
        created_at := row.created_at;
        updated_at := row.updated_at;
        RETURN NEXT;
    END LOOP;
    CLOSE page;
END $$
"""
