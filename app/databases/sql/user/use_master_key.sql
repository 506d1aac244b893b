-- Notes that people's keys are wrapped under this master key, if that is not known yet. `made` is
-- what shows later that a key of this name is the same key. Until COMMIT the master key is not
-- forgotten: forget_master_keys waits, and then finds what was wrapped meanwhile.
CREATE OR REPLACE FUNCTION use_master_key(master text, made bytea) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    LOOP
        PERFORM FROM master_keys m WHERE m.id = master FOR KEY SHARE;
        EXIT WHEN FOUND;
        INSERT INTO master_keys (id, proof) VALUES (master, made) ON CONFLICT DO NOTHING;
    END LOOP;
END $$;
