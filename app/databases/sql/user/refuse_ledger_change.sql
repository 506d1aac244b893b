-- Trigger on users and subject_ledger: a user never changes tenants, 'deleted' is final, and
-- nothing leaves the ledger.
CREATE OR REPLACE FUNCTION refuse_ledger_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND TG_TABLE_NAME = 'users' THEN
        RAISE EXCEPTION 'a user cannot change id or tenant' USING ERRCODE = '23514';
    END IF;
    RAISE EXCEPTION 'the ledger only moves forward' USING ERRCODE = '23514';
END $$;
