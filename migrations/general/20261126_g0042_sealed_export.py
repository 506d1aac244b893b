"""An export gives out the pieces of sealed messages' lines."""

from __future__ import annotations

from alembic import op

revision = "g0042"
down_revision = "g0041"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(EXPORT_PARTS)


def downgrade() -> None:
    op.execute("DROP FUNCTION export_parts")


EXPORT_PARTS = r"""
CREATE FUNCTION export_parts(
    tenant uuid, owner uuid, after_time timestamptz, after_session uuid, after_position bigint,
    bytes bigint
) RETURNS TABLE (
    session_time timestamptz, session uuid, last bigint, lines bytea, ids uuid[],
    heads text[], middles text[], endings text[], seals bytea[]
) LANGUAGE plpgsql AS $$
DECLARE
    most_rows constant bigint := 1000;
    most_bytes constant bigint := 262144;
    form constant text := 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'; -- of a time
    sent bigint := 0;
    size bigint;
    reached bigint;
    is_sealed boolean;
BEGIN
    EXECUTE format('SET LOCAL app.tenant_id = %L', tenant);
    session_time := after_time;
    session := after_session;
    last := after_position;
    FOR part IN 1..1000 LOOP
        SELECT max(next.position), sum(next.size), bool_or(next.is_sealed)
        INTO reached, size, is_sealed
        FROM (
            SELECT m.position, m.sealed IS NOT NULL AS is_sealed,
                coalesce(m.sealed_size, octet_length(m.parts), octet_length(m.content))
                + coalesce(octet_length(m.metadata), 0)
                + coalesce(octet_length(m.item_members), 0) AS size
            FROM messages m
            WHERE m.tenant_id = tenant AND m.session_id = session AND m.position > last
            ORDER BY m.position LIMIT most_rows
        ) AS next;
        IF size > most_bytes THEN
            SELECT max(next.position) INTO reached
            FROM (
                SELECT m.position, sum(m.size) OVER (ORDER BY m.position) - m.size AS before
                FROM (
                    SELECT m.position,
                        coalesce(m.sealed_size, octet_length(m.parts), octet_length(m.content))
                        + coalesce(octet_length(m.metadata), 0)
                        + coalesce(octet_length(m.item_members), 0) AS size
                    FROM messages m
                    WHERE m.tenant_id = tenant AND m.session_id = session AND m.position > last
                    ORDER BY m.position LIMIT most_rows
                ) AS m
            ) AS next
            WHERE next.before < most_bytes;
        END IF;
        IF reached IS NULL THEN
            SELECT s.created_at, s.id, 0 INTO session_time, session, last FROM chat_sessions s
            WHERE s.tenant_id = tenant AND s.user_id = owner
            AND (s.created_at, s.id) > (session_time, session)
            ORDER BY s.created_at, s.id LIMIT 1;
            EXIT WHEN NOT FOUND; -- and `session` is NULL now
            CONTINUE;
        END IF;
        ids := NULL;
        heads := NULL;
        middles := NULL;
        endings := NULL;
        seals := NULL;
        IF NOT is_sealed THEN
            SELECT convert_to(string_agg(page.line, ''), 'UTF8'), bool_or(page.is_sealed)
            INTO lines, is_sealed -- perhaps since a moment ago
            FROM (
                SELECT m.sealed IS NOT NULL AS is_sealed, concat(
                    '{"type":"message","id":"', m.id, '","session_id":"', m.session_id,
                    '","position":', m.position, ',"role":"', m.role, '","content":',
                    coalesce(translate(m.parts, E'\r\n', '  '), to_json(m.content)::text),
                    ',"metadata":', coalesce(m.metadata, '{}'),
                    ',"client_id":', coalesce(to_json(m.client_id)::text, 'null'),
                    ',"status":"', m.status,
                    '","created_by":', coalesce('"' || m.created_by || '"', 'null'),
                    ',"item_id":', coalesce(to_json(m.item_id)::text, 'null'),
                    ',"item_members":',
                    coalesce(translate(m.item_members, E'\r\n', '  '), 'null'),
                    ',"is_item":', m.is_item::text,
                    ',"created_at":"', to_char(m.created_at AT TIME ZONE 'UTC', form),
                    '","updated_at":"',
                    to_char(coalesce(m.updated_at, m.created_at) AT TIME ZONE 'UTC', form),
                    E'"}\n') AS line
                FROM messages m
                WHERE m.tenant_id = tenant AND m.session_id = session AND m.position > last
                AND m.position <= reached
                ORDER BY m.position LIMIT most_rows
            ) AS page;
        END IF;
        IF is_sealed THEN
            lines := NULL;
            SELECT array_agg(page.id), array_agg(page.head), array_agg(page.middle),
                array_agg(page.ending), array_agg(page.sealed)
            INTO ids, heads, middles, endings, seals
            FROM (
                SELECT m.id, m.sealed,
                    concat(
                        '{"type":"message","id":"', m.id, '","session_id":"', m.session_id,
                        '","position":', m.position, ',"role":"', m.role, '","content":',
                        CASE WHEN m.sealed IS NULL THEN concat(
                            coalesce(
                                translate(m.parts, E'\r\n', '  '), to_json(m.content)::text),
                            ',"metadata":', coalesce(m.metadata, '{}')) END) AS head,
                    concat(
                        ',"client_id":', coalesce(to_json(m.client_id)::text, 'null'),
                        ',"status":"', m.status,
                        '","created_by":', coalesce('"' || m.created_by || '"', 'null'),
                        ',"item_id":', coalesce(to_json(m.item_id)::text, 'null'),
                        ',"item_members":',
                        CASE WHEN m.sealed IS NULL THEN
                            coalesce(translate(m.item_members, E'\r\n', '  '), 'null')
                        END) AS middle,
                    concat(
                        ',"is_item":', m.is_item::text,
                        ',"created_at":"', to_char(m.created_at AT TIME ZONE 'UTC', form),
                        '","updated_at":"',
                        to_char(coalesce(m.updated_at, m.created_at) AT TIME ZONE 'UTC', form),
                        E'"}\n') AS ending
                FROM messages m
                WHERE m.tenant_id = tenant AND m.session_id = session AND m.position > last
                AND m.position <= reached
                ORDER BY m.position LIMIT most_rows
            ) AS page;
        END IF;
        last := reached;
        sent := sent + coalesce(octet_length(lines), least(size, most_bytes));
        RETURN NEXT;
        EXIT WHEN sent >= bytes;
    END LOOP;
    lines := NULL;
    ids := NULL;
    heads := NULL;
    middles := NULL;
    endings := NULL;
    seals := NULL;
    RETURN NEXT;
END $$
"""
