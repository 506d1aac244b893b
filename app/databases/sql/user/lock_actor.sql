-- Holds whoever is about to change something as they are, to the end of the caller's transaction:
-- a block, a deletion, a change of roles or the end of their token waits for that, or is seen here.
-- Answers the user's roles at this moment; NULL where there is no such user, no such token, or
-- they may not log in. Each of the two statements sees what was committed while it waited.
--
-- It is the caller's last lock: whoever waits here holds the tenant and the user to be changed, and
-- whoever holds this waits for nobody any more.
CREATE OR REPLACE FUNCTION lock_actor(actor uuid, token bytea) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    present jsonb;
    home uuid;
BEGIN
    SELECT u.roles, u.tenant_id INTO present, home FROM users u
    WHERE u.id = actor AND u.is_active AND NOT u.is_blocked FOR SHARE;
    PERFORM FROM access_tokens t
    WHERE t.digest = token AND t.user_id = actor AND t.tenant_id = home AND t.expires_at > now()
    FOR KEY SHARE;
    RETURN CASE WHEN FOUND THEN present END;
END $$;
