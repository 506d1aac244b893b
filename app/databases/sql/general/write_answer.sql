-- Stores the answer of a request under its idempotency key, as the last statement of its transaction;
-- so it ends with the check. False: another transaction has stored the key since. The positions are
-- those of the messages that the answer quotes.
CREATE OR REPLACE FUNCTION write_answer(
    tenant uuid, owner uuid, key text, fingerprint text, answer bytea, about uuid,
    first_position bigint, last_position bigint, kept interval, seal bytea, seal_key uuid,
    not_after timestamptz
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO general_idempotency_keys (tenant_id, user_id, key, fingerprint, answer, about_id,
        first_position, last_position, expires_at, sealed)
    VALUES (tenant, owner, key, fingerprint, answer, about, first_position, last_position,
        now() + kept, seal)
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM check_write_under(tenant, owner, seal_key, not_after);
    RETURN true;
END $$;
