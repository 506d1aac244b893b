-- What the version before calls; see write_answer.
CREATE OR REPLACE FUNCTION store_answer(
    tenant uuid, owner uuid, key text, fingerprint text, answer bytea, about uuid,
    first_position bigint, last_position bigint, kept interval, not_after timestamptz
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO general_idempotency_keys (tenant_id, user_id, key, fingerprint, answer, about_id,
        first_position, last_position, expires_at)
    VALUES (tenant, owner, key, fingerprint, answer, about, first_position, last_position,
        now() + kept)
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM check_write(tenant, owner, not_after);
    RETURN true;
END $$;
