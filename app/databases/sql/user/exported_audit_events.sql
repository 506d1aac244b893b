-- Gives a page of the audit events of one tenant, or of all if `tenant` is NULL, oldest first, for
-- an operator's export. The index of all events is for those who say NULLS FIRST or LAST.
-- In a session of a tenant it is of that tenant's people alone; operators' commands are in none.
CREATE OR REPLACE FUNCTION exported_audit_events(tenant uuid, after uuid, page integer)
RETURNS SETOF audit_events
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp
SET enable_sort = off SET enable_bitmapscan = off AS $$
DECLARE
    own uuid := nullif(current_setting('app.tenant_id', true), '')::uuid;
    beyond uuid := coalesce(after, '00000000-0000-0000-0000-000000000000');
BEGIN
    IF own <> tenant OR own IS NOT NULL AND tenant IS NULL THEN
        RETURN;
    END IF;
    IF tenant IS NULL THEN
        RETURN QUERY
            SELECT e.* FROM audit_events e WHERE e.id > beyond
            ORDER BY e.id NULLS FIRST LIMIT page;
    ELSE
        RETURN QUERY
            SELECT e.* FROM audit_events e WHERE e.tenant_id = tenant AND e.id > beyond
            ORDER BY e.id LIMIT page;
    END IF;
END $$;
