-- Gives a platform administrator's page of the audit events of all tenants, newest first. At most
-- one of `actor`, `target` and `done` is not NULL; each has an index of its own that ends in the id.
-- The index of all events has an order that only those who say NULLS LAST ask for: else the planner
-- would walk it for a filter's rare events, too. Nor may it sort all that a filter finds.
CREATE OR REPLACE FUNCTION platform_audit_page(
    before uuid, actor uuid, target uuid, done varchar, page integer
) RETURNS SETOF audit_events LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp
SET enable_sort = off SET enable_bitmapscan = off AS $$
DECLARE
    beyond uuid := coalesce(before, 'ffffffff-ffff-ffff-ffff-ffffffffffff');
BEGIN
    IF actor IS NOT NULL THEN
        RETURN QUERY
            SELECT e.* FROM audit_events e WHERE e.actor_id = actor AND e.id < beyond
            ORDER BY e.id DESC LIMIT page;
    ELSIF target IS NOT NULL THEN
        RETURN QUERY
            SELECT e.* FROM audit_events e WHERE e.target_id = target AND e.id < beyond
            ORDER BY e.id DESC LIMIT page;
    ELSIF done IS NOT NULL THEN
        RETURN QUERY
            SELECT e.* FROM audit_events e WHERE e.action = done AND e.id < beyond
            ORDER BY e.id DESC LIMIT page;
    ELSE
        RETURN QUERY
            SELECT e.* FROM audit_events e WHERE e.id < beyond
            ORDER BY e.id DESC NULLS LAST LIMIT page;
    END IF;
END $$;
