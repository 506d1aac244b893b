-- Reads messages of a session as they are stored, in the order of their positions: past the position
-- `after` up to `last`; where `sealed_ones` is not NULL, only those that are sealed, or only the plain
-- ones. At most `rows`, and at most `bytes` of text, but at least one.
CREATE OR REPLACE FUNCTION stored_messages(
    tenant uuid, session uuid, after bigint, last bigint, sealed_ones boolean, rows bigint,
    bytes bigint
) RETURNS SETOF messages LANGUAGE plpgsql AS $$
DECLARE
    reached bigint;
BEGIN
    EXECUTE format('SET LOCAL app.tenant_id = %L', tenant);
    SELECT max(next.position) INTO reached
    FROM (
        SELECT m.position, row_number() OVER (ORDER BY m.position) AS place,
            sum(m.size) OVER (ORDER BY m.position) AS total
        FROM (
            SELECT x.position, coalesce(x.sealed_size, octet_length(x.content)
                + coalesce(octet_length(x.parts), 0)) AS size
            FROM messages x
            WHERE x.tenant_id = tenant AND x.session_id = session
            AND x.position > after AND x.position <= last
            AND (sealed_ones IS NULL OR (x.sealed IS NOT NULL) = sealed_ones)
            ORDER BY x.position LIMIT rows
        ) AS m
    ) AS next
    WHERE next.place = 1 OR next.total <= bytes;
    RETURN QUERY
        SELECT * FROM messages m
        WHERE m.tenant_id = tenant AND m.session_id = session
        AND m.position > after AND m.position <= reached
        AND (sealed_ones IS NULL OR (m.sealed IS NOT NULL) = sealed_ones)
        ORDER BY m.position LIMIT rows;
END $$;
