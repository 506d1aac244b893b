-- Trigger on chat_sessions: makes the owner on first use, so that a writer need not know of owners.
-- One that is closed already stays so: the tombstone wins.
CREATE OR REPLACE FUNCTION make_owner() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.owners (tenant_id, user_id) VALUES (NEW.tenant_id, NEW.user_id)
    ON CONFLICT DO NOTHING;
    RETURN NEW;
END $$;
