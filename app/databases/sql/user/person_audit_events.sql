-- Gives a page of the audit events about a person, oldest first, for their export: what they did,
-- what was done to them, and what an API key did on their behalf. Each has an index that ends in
-- the id. A platform administrator has acted in other tenants, too.
CREATE OR REPLACE FUNCTION person_audit_events(person uuid, after uuid, page integer)
RETURNS SETOF audit_events
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp
SET enable_sort = off SET enable_bitmapscan = off AS $$
DECLARE
    beyond uuid := coalesce(after, '00000000-0000-0000-0000-000000000000');
BEGIN
    RETURN QUERY
        (SELECT e.* FROM audit_events e
         WHERE e.actor_id = person AND e.id > beyond ORDER BY e.id LIMIT page)
        UNION
        (SELECT e.* FROM audit_events e
         WHERE e.target_id = person AND e.id > beyond ORDER BY e.id LIMIT page)
        UNION
        (SELECT e.* FROM audit_events e
         WHERE e.on_behalf_of = person AND e.id > beyond ORDER BY e.id LIMIT page)
        ORDER BY id LIMIT page;
END $$;
