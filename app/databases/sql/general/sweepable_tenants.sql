-- Lists the tenants where a session's own end has passed, and those with a tally that has no receipt
-- yet, past the tenant `after`, in the order of their ids. It looks once into the index for each tenant
-- that has sessions with an end, however many those are.
CREATE OR REPLACE FUNCTION sweepable_tenants(after uuid, page integer) RETURNS SETOF uuid
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    tenant uuid := after;
    found_so_far integer := 0;
BEGIN
    WHILE found_so_far < page LOOP
        SELECT min(n.tenant_id::text)::uuid INTO tenant FROM (
            (SELECT s.tenant_id FROM chat_sessions s
             WHERE s.expires_at IS NOT NULL AND s.tenant_id > tenant ORDER BY s.tenant_id LIMIT 1)
            UNION ALL
            (SELECT t.tenant_id FROM retention_tallies t
             WHERE t.tenant_id > tenant ORDER BY t.tenant_id LIMIT 1)
        ) AS n;
        EXIT WHEN tenant IS NULL;
        IF EXISTS (SELECT FROM chat_sessions s
                   WHERE s.tenant_id = tenant AND s.expires_at <= now())
        OR EXISTS (SELECT FROM retention_tallies t WHERE t.tenant_id = tenant) THEN
            found_so_far := found_so_far + 1;
            RETURN NEXT tenant;
        END IF;
    END LOOP;
END $$;
