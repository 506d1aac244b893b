-- The version before export_page, which ended a page by rows; it goes when no process calls it any
-- more.
CREATE OR REPLACE FUNCTION export_messages(
    tenant uuid, owner uuid, INOUT session uuid, INOUT last bigint, rows bigint, OUT lines bytea
) LANGUAGE plpgsql AS $$
DECLARE
    part text;
    so_far text := '';
    taken bigint;
BEGIN
    EXECUTE format('SET LOCAL app.tenant_id = %L', tenant);
    LOOP
        SELECT string_agg(line, ''), count(*), coalesce(max(position), last)
        INTO part, taken, last
        FROM (
            SELECT m.position, concat(
                '{"type":"message","id":"', m.id, '","session_id":"', m.session_id,
                '","position":', m.position, ',"role":"', m.role, '","content":',
                to_json(m.content), ',"created_at":"',
                to_char(m.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
                E'"}\n') AS line
            FROM messages m
            WHERE m.tenant_id = tenant AND m.session_id = session AND m.position > last
            ORDER BY m.position LIMIT rows
        ) AS page;
        so_far := so_far || coalesce(part, '');
        rows := rows - taken - 1;
        EXIT WHEN rows <= 0;
        SELECT s.id, 0 INTO session, last FROM chat_sessions s
        WHERE s.tenant_id = tenant AND s.user_id = owner AND s.id > session
        ORDER BY s.id LIMIT 1;
        IF NOT FOUND THEN
            EXIT; -- and `session` is NULL now
        END IF;
    END LOOP;
    lines := convert_to(so_far, 'UTF8');
END $$;
