-- Forgets the master keys under which nothing is wrapped any more, but for the active one.
CREATE OR REPLACE FUNCTION forget_master_keys(active text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    DELETE FROM master_keys m WHERE m.id IS DISTINCT FROM active
    AND NOT EXISTS (SELECT FROM wrapped_keys w WHERE w.master_id = m.id)
$$;
