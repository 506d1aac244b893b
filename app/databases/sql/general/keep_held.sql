-- Trigger on chat_sessions: keeps the sessions of an owner who is held, whoever deletes them.
CREATE OR REPLACE FUNCTION keep_held() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM public.check_overwrite(OLD.tenant_id, OLD.user_id);
    RETURN OLD;
END $$;
