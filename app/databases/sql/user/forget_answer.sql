-- Trigger on user_idempotency_keys: when the user whom a stored answer tells of is deleted, the
-- foreign key sets about_id to NULL, and this empties the answer, whoever deletes and however. The
-- fingerprint goes, too: it was made from what was sent about them.
CREATE OR REPLACE FUNCTION forget_answer() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.answer := NULL;
    NEW.fingerprint := NULL;
    RETURN NEW;
END $$;
