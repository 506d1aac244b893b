-- Tells for how many days a tenant keeps conversations: NULL without a policy, and without a tenant.
CREATE OR REPLACE FUNCTION retention_policy(tenant uuid) RETURNS integer
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT t.retention_days FROM tenants t WHERE t.id = tenant
$$;
