-- What the version before calls; see store_answer. Without positions, an answer quotes any of the
-- conversation's messages.
CREATE OR REPLACE FUNCTION keep_answer(
    tenant uuid, owner uuid, key text, fingerprint text, answer bytea, about uuid, kept interval,
    not_after timestamptz
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO general_idempotency_keys
        (tenant_id, user_id, key, fingerprint, answer, about_id, expires_at)
    VALUES (tenant, owner, key, fingerprint, answer, about, now() + kept)
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM check_write(tenant, owner, not_after);
    RETURN true;
END $$;
