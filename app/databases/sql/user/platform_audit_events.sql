-- What the version before calls; see platform_audit_page.
CREATE OR REPLACE FUNCTION platform_audit_events(
    before uuid, actor uuid, target uuid, done varchar, page integer
) RETURNS TABLE (
    id uuid, tenant_id uuid, at timestamptz, actor_type varchar, actor_id uuid, on_behalf_of uuid,
    action varchar, target_type varchar, target_id uuid, request_id varchar
) LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp
SET enable_sort = off SET enable_bitmapscan = off AS $$
DECLARE
    beyond uuid := coalesce(before, 'ffffffff-ffff-ffff-ffff-ffffffffffff');
BEGIN
    IF actor IS NOT NULL THEN
        RETURN QUERY
            SELECT e.id, e.tenant_id, e.at, e.actor_type, e.actor_id, e.on_behalf_of, e.action,
                   e.target_type, e.target_id, e.request_id
            FROM audit_events e WHERE e.actor_id = actor AND e.id < beyond
            ORDER BY e.id DESC LIMIT page;
    ELSIF target IS NOT NULL THEN
        RETURN QUERY
            SELECT e.id, e.tenant_id, e.at, e.actor_type, e.actor_id, e.on_behalf_of, e.action,
                   e.target_type, e.target_id, e.request_id
            FROM audit_events e WHERE e.target_id = target AND e.id < beyond
            ORDER BY e.id DESC LIMIT page;
    ELSIF done IS NOT NULL THEN
        RETURN QUERY
            SELECT e.id, e.tenant_id, e.at, e.actor_type, e.actor_id, e.on_behalf_of, e.action,
                   e.target_type, e.target_id, e.request_id
            FROM audit_events e WHERE e.action = done AND e.id < beyond
            ORDER BY e.id DESC LIMIT page;
    ELSE
        RETURN QUERY
            SELECT e.id, e.tenant_id, e.at, e.actor_type, e.actor_id, e.on_behalf_of, e.action,
                   e.target_type, e.target_id, e.request_id
            FROM audit_events e WHERE e.id < beyond
            ORDER BY e.id DESC NULLS LAST LIMIT page;
    END IF;
END $$;
