-- Returns the key of the digests of names and addresses, for a service that is given no other one.
CREATE OR REPLACE FUNCTION digest_key() RETURNS bytea
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT key FROM digest_keys
$$;
