-- Trigger on owners: an owner is never removed, and its state only moves from open to closed to
-- erased, its counts and the revision of its hold only up. While it is held it is neither closed nor
-- erased, and nothing of it is purged.
CREATE OR REPLACE FUNCTION keep_owner_forward() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    states constant text[] := ARRAY['open', 'closed', 'erased'];
BEGIN
    IF TG_OP <> 'UPDATE' THEN
        RAISE EXCEPTION 'an owner is never removed' USING ERRCODE = '23514';
    END IF;
    IF (NEW.tenant_id, NEW.user_id) IS DISTINCT FROM (OLD.tenant_id, OLD.user_id)
    OR array_position(states, NEW.state::text) < array_position(states, OLD.state::text)
    OR NEW.chat_sessions < OLD.chat_sessions OR NEW.messages < OLD.messages
    OR NEW.hold_rev < OLD.hold_rev THEN
        RAISE EXCEPTION 'an owner only moves forward' USING ERRCODE = '23514';
    END IF;
    IF OLD.held AND (NEW.state, NEW.chat_sessions, NEW.messages)
        IS DISTINCT FROM (OLD.state, OLD.chat_sessions, OLD.messages) THEN
        RAISE EXCEPTION 'the owner is held' USING ERRCODE = 'BC003';
    END IF;
    RETURN NEW;
END $$;
