-- What the version before calls; see platform_tenants_by_time.
--
-- Lists all tenants to a platform administrator, a page at a time.
CREATE OR REPLACE FUNCTION platform_tenants(after uuid, page integer)
RETURNS SETOF tenants LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT * FROM tenants WHERE after IS NULL OR id > after ORDER BY id LIMIT page
$$;
