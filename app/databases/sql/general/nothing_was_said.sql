-- Tells whether nobody has ever begun a conversation here: an installation that is new. Citus refuses
-- EXISTS of all shards' rows without a column, and would fetch them all without the limit.
CREATE OR REPLACE FUNCTION nothing_was_said() RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT NOT EXISTS (SELECT 1 FROM owners LIMIT 1)
$$;
