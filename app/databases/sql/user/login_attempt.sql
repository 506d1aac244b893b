-- Begins a login for the version before, whose counts were kept by pair, too.
CREATE OR REPLACE FUNCTION login_attempt(
    name varchar, account bytea, address bytea, pair bytea, free integer, longest interval
) RETURNS TABLE (
    user_id uuid, tenant_id uuid, password_hash varchar, may_log_in boolean,
    retry_after_seconds double precision
) LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT * FROM begin_login(name, account, address, free, longest)
$$;
