-- Replaces a wrapped key by the same key, wrapped anew; nothing where it is gone, or another one by
-- now. Committed as durably as the first one.
CREATE OR REPLACE FUNCTION rewrap_key(
    tenant uuid, subject uuid, key_id uuid, before bytea, master text, sealed_key bytea
) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF current_setting('synchronous_commit') <> 'remote_apply' THEN
        SET LOCAL synchronous_commit = on;
    END IF;
    UPDATE wrapped_keys w SET master_id = master, wrapped = sealed_key
    WHERE w.tenant_id = tenant AND w.user_id = subject AND w.id = key_id AND w.wrapped = before;
    RETURN FOUND;
END $$;
