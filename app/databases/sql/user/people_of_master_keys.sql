-- Counts the people whose key each master key wraps.
CREATE OR REPLACE FUNCTION people_of_master_keys() RETURNS TABLE (id text, people bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT m.id, (SELECT count(*) FROM wrapped_keys w WHERE w.master_id = m.id)
    FROM master_keys m ORDER BY m.id
$$;
