-- Trigger on chat_sessions and general_idempotency_keys: refuses rows of an owner who is closed.
--
-- It runs AFTER the row is written, since before that the transaction has no id that a closing
-- relay could wait for. The lock on the owner is what the relay waits for; it must be taken no
-- later than the state is read, whatever else the statement has locked. Only READ COMMITTED is
-- allowed, since an older snapshot would show a closed owner as open. The version before reads the
-- constraint's name.
CREATE OR REPLACE FUNCTION owner_is_open() RETURNS trigger LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'sessions are written in READ COMMITTED only' USING ERRCODE = '25000';
    END IF;
    PERFORM FROM public.owners o
    WHERE o.tenant_id = NEW.tenant_id AND o.user_id = NEW.user_id AND o.state = 'open'
    FOR KEY SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the owner is closed: deleted, or about to be'
            USING ERRCODE = 'BC002', CONSTRAINT = 'owner_is_open', TABLE = 'chat_sessions';
    END IF;
    RETURN NULL;
END $$;
