-- Finds a tenant by name, for the operator's commands.
CREATE OR REPLACE FUNCTION tenant_named(tenant varchar) RETURNS uuid LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT id FROM tenants WHERE name = tenant
$$;
