-- Forgets the master keys under which nothing is wrapped any more, but for the active one. They are
-- locked first, so that the second statement sees the keys of all who have used one of them.
CREATE OR REPLACE FUNCTION forget_master_keys(active text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM FROM master_keys m WHERE m.id IS DISTINCT FROM active ORDER BY m.id FOR UPDATE;
    DELETE FROM master_keys m WHERE m.id IS DISTINCT FROM active
    AND NOT EXISTS (SELECT FROM wrapped_keys w WHERE w.master_id = m.id);
END $$;
