-- Trigger on users: fills the keys that names and addresses are compared by, whoever writes the row
-- and whatever they wrote there. A version of the service that knows no keys leaves them NULL.
CREATE OR REPLACE FUNCTION fill_user_keys() RETURNS trigger
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    NEW.username_key := username_key(NEW.username);
    NEW.email_key := email_key(NEW.email);
    RETURN NEW;
END $$;
