-- Trigger on chat_sessions: where somebody set one of updated_at and changed_minute alone, as whoever
-- loads rows does, the minute follows the time. Sweeps and lists go by the minute.
CREATE OR REPLACE FUNCTION keep_changed_minute() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE chat_sessions s SET changed_minute = date_trunc('minute', s.updated_at)
    WHERE s.tenant_id = NEW.tenant_id AND s.id = NEW.id;
    RETURN NULL;
END $$;
