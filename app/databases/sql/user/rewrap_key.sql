-- Replaces a wrapped key by the same key, wrapped anew; nothing where it is gone, or another one by
-- now. Committed as durably as the first one.
-- In a session of a tenant it is of that tenant's people alone; operators' commands are in none.
CREATE OR REPLACE FUNCTION rewrap_key(
    tenant uuid, subject uuid, key_id uuid, before bytea, master text, sealed_key bytea
) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF tenant <> nullif(current_setting('app.tenant_id', true), '')::uuid THEN
        RAISE EXCEPTION 'a session of a tenant has the keys of its own' USING ERRCODE = '42501';
    END IF;
    IF current_setting('synchronous_commit') <> 'remote_apply' THEN
        SET LOCAL synchronous_commit = on;
    END IF;
    UPDATE wrapped_keys w SET master_id = master, wrapped = sealed_key
    WHERE w.tenant_id = tenant AND w.user_id = subject AND w.id = key_id AND w.wrapped = before;
    RETURN FOUND;
END $$;
