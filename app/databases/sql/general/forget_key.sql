-- Forgets which key an owner's words are sealed under, once nothing of theirs is sealed; tells whether
-- that is so. It is asked when nobody seals any more.
CREATE OR REPLACE FUNCTION forget_key(tenant uuid, owner uuid)
RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SET LOCAL app.tenant_id = %L', tenant);
    IF is_sealed(tenant, owner) THEN
        RETURN false;
    END IF;
    UPDATE owners o SET key_id = NULL
    WHERE o.tenant_id = tenant AND o.user_id = owner AND o.key_id IS NOT NULL;
    RETURN true;
END $$;
