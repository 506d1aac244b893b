-- Lists the tenants that keep conversations for so many days, a page at a time, by their ids.
CREATE OR REPLACE FUNCTION retention_policies(after uuid, page integer)
RETURNS TABLE (tenant_id uuid, retention_days integer)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT t.id, t.retention_days FROM tenants t
    WHERE t.id > after AND t.retention_days IS NOT NULL ORDER BY t.id LIMIT page
$$;
