-- Lists the master keys that a process must have, and what proves each.
CREATE OR REPLACE FUNCTION master_keys_in_use() RETURNS TABLE (id text, proof bytea)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT m.id, m.proof FROM master_keys m ORDER BY m.id
$$;
