-- What the version before, or one before that, calls; see caller_of_token.
--
-- Finds whose access token this is, in one indexed round trip for each request; no row if the token
-- has ended or its user may not log in. It writes `last_used_at` at most once a minute, so that
-- reading with a token does not write a row each time. A server that takes no writes, after a
-- fail-over, still says whose token it is. A token is good in its user's own tenant only.
CREATE OR REPLACE FUNCTION authenticate(token_digest bytea, idle interval)
RETURNS TABLE (user_id uuid, tenant_id uuid, username varchar, roles jsonb)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    used timestamptz;
BEGIN
    SELECT u.id, u.tenant_id, u.username, u.roles, t.last_used_at
    INTO user_id, tenant_id, username, roles, used
    FROM access_tokens t JOIN users u ON u.tenant_id = t.tenant_id AND u.id = t.user_id
    WHERE t.digest = token_digest AND t.expires_at > now() AND t.last_used_at > now() - idle
    AND u.is_active AND NOT u.is_blocked;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF used < now() - least(interval '1 minute', idle / 4)
    AND current_setting('transaction_read_only') = 'off' THEN
        UPDATE access_tokens t SET last_used_at = now() WHERE t.digest = token_digest;
    END IF;
    RETURN NEXT;
END $$;
