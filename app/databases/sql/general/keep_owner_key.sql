-- Trigger on owners: the key that an owner's words are sealed under is recorded once, and forgotten
-- when nothing is sealed any more.
CREATE OR REPLACE FUNCTION keep_owner_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.key_id IS NULL OR NEW.key_id = OLD.key_id THEN
        RETURN NEW;
    END IF;
    IF NEW.key_id IS NOT NULL OR public.is_sealed(OLD.tenant_id, OLD.user_id) THEN
        RAISE EXCEPTION 'the owner has another key' USING ERRCODE = 'BC041';
    END IF;
    RETURN NEW;
END $$;
