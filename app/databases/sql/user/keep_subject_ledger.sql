-- Trigger on users: keeps a row in `subject_ledger` for every user who is there or ever was. It is
-- a trigger so that deletions by psql and by cascades count too. A new user's entry begins as
-- delivered, since there is nothing to send.
--
-- A deletion notifies whoever listens; a creation does not, because NOTIFY takes a lock of the
-- whole server at COMMIT. The message has no payload, so that the ten thousand deletions of a
-- tenant become one message.
CREATE OR REPLACE FUNCTION keep_subject_ledger() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        INSERT INTO subject_ledger (tenant_id, user_id, state, rev, delivered_rev)
        VALUES (OLD.tenant_id, OLD.id, 'deleted', 1, 0)
        ON CONFLICT (tenant_id, user_id) DO UPDATE
        SET state = 'deleted', rev = subject_ledger.rev + 1, changed_at = now(),
            not_before = now(), lease_until = NULL, attempts = 0
        WHERE subject_ledger.state <> 'deleted';
        PERFORM pg_notify('bicameral_erasures', '');
    ELSE
        INSERT INTO subject_ledger (tenant_id, user_id, state, rev, delivered_rev)
        VALUES (NEW.tenant_id, NEW.id, 'present', 1, 1);
    END IF;
    RETURN NULL;
END $$;
