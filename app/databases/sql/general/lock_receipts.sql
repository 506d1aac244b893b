-- Locks the chain of receipts until COMMIT: whoever reads its end after this reads the true one, as long
-- as each statement has a snapshot of its own. The owner's own login is refused: row level security
-- would show it one tenant's receipts only, and the chain would fork.
CREATE OR REPLACE FUNCTION lock_receipts() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed'
    OR current_user = session_user THEN
        RAISE EXCEPTION 'receipts are written by the relay, in READ COMMITTED'
            USING ERRCODE = '25000';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('erasure_receipts', 0));
END $$;
