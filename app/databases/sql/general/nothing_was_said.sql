-- Tells whether nobody has ever begun a conversation here: an installation that is new.
CREATE OR REPLACE FUNCTION nothing_was_said() RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT NOT EXISTS (SELECT FROM owners)
$$;
