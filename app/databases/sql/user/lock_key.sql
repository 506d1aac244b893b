-- Holds an API key, and the person it acts for if there is one, to the end of the caller's
-- transaction: a revocation or a block waits for that, or is seen here. Answers the key's scopes;
-- NULL where the key has ended, or the person may not act or is of another tenant than the key. The
-- caller's last lock, like lock_actor.
CREATE OR REPLACE FUNCTION lock_key(key_digest bytea, subject uuid) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    present jsonb;
    home uuid;
BEGIN
    IF subject IS NOT NULL THEN
        SELECT u.tenant_id INTO home FROM users u
        WHERE u.id = subject AND u.is_active AND NOT u.is_blocked FOR SHARE;
        IF NOT FOUND THEN
            RETURN NULL;
        END IF;
    END IF;
    SELECT k.scopes INTO present FROM api_keys k
    WHERE k.digest = key_digest AND (k.expires_at IS NULL OR k.expires_at > now())
    AND (home IS NULL OR k.tenant_id = home)
    FOR KEY SHARE;
    RETURN present;
END $$;
