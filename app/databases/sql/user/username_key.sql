-- Makes the key by which usernames are compared: two that differ in case alone have the same one.
CREATE OR REPLACE FUNCTION username_key(username text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT fold_case(username)
$$;
