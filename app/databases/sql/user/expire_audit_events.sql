-- Deletes up to `rows` audit events older than `kept` and returns how many. An id begins with its
-- time in milliseconds, so the index of all events, whose order is NULLS FIRST, finds them.
CREATE OR REPLACE FUNCTION expire_audit_events(kept interval, rows integer) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH expired AS MATERIALIZED (
        SELECT e.tenant_id, e.id FROM audit_events e
        WHERE e.id < (lpad(to_hex(floor(extract(epoch FROM now() - kept) * 1000)::bigint), 12, '0')
                      || repeat('0', 20))::uuid
        ORDER BY e.id NULLS FIRST LIMIT rows FOR UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM audit_events e USING expired x
        WHERE e.tenant_id = x.tenant_id AND e.id = x.id
        RETURNING 1
    )
    SELECT count(*) FROM gone
$$;
