-- Trigger on both tables of idempotency keys: an answer tells of a user of the key's own tenant; for the tenant
-- `platform`, whose administrators create users elsewhere, of anybody. The foreign key alone would
-- tell every tenant whether an id exists in another one. It looks across tenants as the owner.
CREATE OR REPLACE FUNCTION keep_answer_at_home() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM FROM users u JOIN tenants t ON t.id = NEW.tenant_id
    WHERE u.id = NEW.about_id AND (u.tenant_id = NEW.tenant_id OR t.name = 'platform');
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no such user in this tenant'
            USING ERRCODE = '23503', TABLE = TG_TABLE_NAME,
            CONSTRAINT = format('fk_%s_about_id_users', TG_TABLE_NAME);
    END IF;
    RETURN NEW;
END $$;
