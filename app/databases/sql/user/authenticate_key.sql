-- What the version before calls; see caller_of_key.
--
-- Finds whose API key this is, and the person it acts for, in one indexed round trip for each
-- request; no row if the key has ended. Of the person asked for, by id or by the product's own id,
-- `subject_state` tells `present`, `blocked`, `inactive`, or `deleted`; NULL where the tenant has
-- nobody of that id.
--
-- Key and person are one statement: each statement of a function costs as much as both look-ups.
-- The tenant's name is answered where nobody's username begins with it. A person's row may be gone
-- without their ledger's entry saying so, after a restore: they are unknown then.
--
-- `last_used_at` is written at most once a minute, and by one of those who use the key at a time:
-- whoever finds the row locked leaves it to them.
CREATE OR REPLACE FUNCTION authenticate_key(key_digest bytea, subject uuid, subject_external_id text)
RETURNS TABLE (
    key_id uuid, tenant_id uuid, tenant_name varchar, scopes jsonb,
    user_id uuid, username varchar, roles jsonb, subject_state text
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    used timestamptz;
BEGIN
    IF subject_external_id IS NULL THEN
        SELECT k.id, k.tenant_id, k.scopes, k.last_used_at, u.id, u.username, u.roles, CASE
            WHEN NOT u.is_active THEN 'inactive' WHEN u.is_blocked THEN 'blocked'
            WHEN u.is_active THEN 'present' END
        INTO key_id, tenant_id, scopes, used, user_id, username, roles, subject_state
        FROM api_keys k LEFT JOIN users u ON u.tenant_id = k.tenant_id AND u.id = subject
        WHERE k.digest = key_digest AND (k.expires_at IS NULL OR k.expires_at > now());
    ELSE
        SELECT k.id, k.tenant_id, k.scopes, k.last_used_at, u.id, u.username, u.roles, CASE
            WHEN NOT u.is_active THEN 'inactive' WHEN u.is_blocked THEN 'blocked'
            WHEN u.is_active THEN 'present' END
        INTO key_id, tenant_id, scopes, used, user_id, username, roles, subject_state
        FROM api_keys k LEFT JOIN users u
        ON u.tenant_id = k.tenant_id AND u.external_id = subject_external_id
        WHERE k.digest = key_digest AND (k.expires_at IS NULL OR k.expires_at > now());
    END IF;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF (used IS NULL OR used < now() - interval '1 minute')
    AND current_setting('transaction_read_only') = 'off' THEN
        UPDATE api_keys k SET last_used_at = now()
        WHERE k.tenant_id = authenticate_key.tenant_id AND k.id = (
            SELECT free.id FROM api_keys free WHERE free.id = key_id
            FOR NO KEY UPDATE SKIP LOCKED);
    END IF;
    IF user_id IS NOT NULL THEN
        RETURN NEXT;
        RETURN;
    END IF;
    SELECT t.name INTO tenant_name FROM tenants t WHERE t.id = authenticate_key.tenant_id;
    IF subject IS NOT NULL THEN
        SELECT l.state INTO subject_state FROM subject_ledger l
        WHERE l.tenant_id = authenticate_key.tenant_id AND l.user_id = subject
        AND l.state = 'deleted';
    END IF;
    RETURN NEXT;
END $$;
