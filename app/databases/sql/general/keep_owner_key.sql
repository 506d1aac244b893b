-- Trigger on owners: the key that an owner's words are sealed under is recorded once.
CREATE OR REPLACE FUNCTION keep_owner_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.key_id IS NOT NULL AND NEW.key_id IS DISTINCT FROM OLD.key_id THEN
        RAISE EXCEPTION 'the owner has another key' USING ERRCODE = 'BC041';
    END IF;
    RETURN NEW;
END $$;
