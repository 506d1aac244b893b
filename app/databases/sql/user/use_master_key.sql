-- Notes that people's keys are wrapped under this master key, if that is not known yet. `made` is
-- what shows later that a key of this name is the same key.
CREATE OR REPLACE FUNCTION use_master_key(master text, made bytea) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    INSERT INTO master_keys (id, proof) VALUES (master, made) ON CONFLICT DO NOTHING
$$;
