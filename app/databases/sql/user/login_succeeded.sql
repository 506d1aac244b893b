-- Confirms a login for the version before.
CREATE OR REPLACE FUNCTION login_succeeded(account bytea, address bytea, pair bytea, free integer)
RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT confirm_login(account, address)
$$;
