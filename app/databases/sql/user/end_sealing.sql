-- Says that from now on nothing that is written is sealed. What is sealed stays so until it is
-- opened. A person whose rows are all sealed has plain ones from here on.
CREATE OR REPLACE FUNCTION end_sealing() RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE sealing SET is_on = false, sealed_after = NULL WHERE is_on;
    UPDATE wrapped_keys SET plain_until = 'infinity' WHERE plain_until IS DISTINCT FROM 'infinity';
$$;
