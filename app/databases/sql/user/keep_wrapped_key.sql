-- Keeps a person's first wrapped key and returns it; or the one that somebody else was faster with,
-- committed by then. It is on the disk before anybody seals with it, and on the standby's where
-- COMMIT waits for one, whatever the server does with other transactions.
--
-- `was_plain` says that rows of the person's may be there that are not sealed: so are those of
-- whoever writes in the moments around the beginning of sealing. `plain_until` is NULL for a person
-- whose rows were sealed from the first one on.
-- In a session of a tenant it is of that tenant's people alone; operators' commands are in none.
CREATE OR REPLACE FUNCTION keep_wrapped_key(
    tenant uuid, subject uuid, new_id uuid, master text, sealed_key bytea, was_plain boolean
) RETURNS TABLE (id uuid, master_id text, wrapped bytea)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF tenant <> nullif(current_setting('app.tenant_id', true), '')::uuid THEN
        RAISE EXCEPTION 'a session of a tenant has the keys of its own' USING ERRCODE = '42501';
    END IF;
    IF current_setting('synchronous_commit') <> 'remote_apply' THEN
        SET LOCAL synchronous_commit = on;
    END IF;
    INSERT INTO wrapped_keys (tenant_id, user_id, id, master_id, wrapped, plain_until)
    SELECT tenant, subject, new_id, master, sealed_key,
        CASE WHEN was_plain OR s.sealed_after IS NULL OR s.sealed_after > now()
            THEN timestamptz 'infinity' END
    FROM sealing s
    ON CONFLICT (tenant_id, user_id) DO NOTHING;
    RETURN QUERY SELECT w.id, w.master_id, w.wrapped FROM wrapped_keys w
    WHERE w.tenant_id = tenant AND w.user_id = subject;
END $$;
