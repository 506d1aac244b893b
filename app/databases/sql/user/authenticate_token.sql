-- What the version before calls; see caller_of_token.
--
-- Finds whose access token this is, in one indexed round trip for each request; no row if the token
-- has ended or its user may not log in. `scopes` are NULL for a token that came of a login. It
-- writes `last_used_at` at most once a minute, so that reading with a token does not write a row
-- each time. A server that takes no writes, after a fail-over, still says whose token it is.
CREATE OR REPLACE FUNCTION authenticate_token(token_digest bytea, idle interval)
RETURNS TABLE (user_id uuid, tenant_id uuid, username varchar, roles jsonb, scopes jsonb)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    used timestamptz;
BEGIN
    SELECT u.id, u.tenant_id, u.username, u.roles, t.scopes, t.last_used_at
    INTO user_id, tenant_id, username, roles, scopes, used
    FROM access_tokens t JOIN users u ON u.id = t.user_id AND u.tenant_id = t.tenant_id
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
