-- Returns the credentials of a username, in whichever case, or how long to wait, in one round trip
-- before a password is hashed.
--
-- The attempt counts as failed from the start; `login_succeeded` takes that back. The delays are
-- read twice, without a lock and then with the counters locked: of a thousand attempts sent at
-- once, each finds in the second look those that came before it. Counts start anew after a quiet
-- hour. Beyond the free attempts the delay doubles from one second up to the longest.
--
-- An address from which the account has logged in before is spared the account's own delay, so that
-- a stranger's guesses, however many, never keep the owner out. The times are clock_timestamp()'s,
-- since now() stands still while the attempt waits for a lock.
CREATE OR REPLACE FUNCTION login_attempt(
    name varchar, account bytea, address bytea, pair bytea, free integer, longest interval
) RETURNS TABLE (
    user_id uuid, tenant_id uuid, password_hash varchar, may_log_in boolean,
    retry_after_seconds double precision
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    keys bytea[] := ARRAY[account, address, pair];
BEGIN
    FOR look IN 1..2 LOOP
        SELECT extract(epoch FROM max(t.retry_at) - clock_timestamp()) INTO retry_after_seconds
        FROM login_throttles t
        WHERE t.key IN (address, pair) OR t.key = account AND NOT EXISTS (
            SELECT FROM login_throttles known
            WHERE known.key = pair AND known.succeeded_at > now() - interval '30 days');
        IF retry_after_seconds > 0 THEN
            RETURN NEXT;
            RETURN;
        END IF;
        EXIT WHEN look = 2;
        INSERT INTO login_throttles (key) SELECT k FROM unnest(keys) AS k ORDER BY k
        ON CONFLICT DO NOTHING;
        PERFORM FROM login_throttles t WHERE t.key = ANY (keys) ORDER BY t.key FOR UPDATE;
    END LOOP;
    UPDATE login_throttles t SET
        failures = CASE WHEN t.updated_at < now() - interval '1 hour' THEN 1
                        ELSE t.failures + 1 END,
        retry_at = clock_timestamp() + CASE
            WHEN t.updated_at < now() - interval '1 hour' THEN interval '0'
            WHEN t.failures < limits.free THEN interval '0'
            ELSE least(longest, interval '1 second'
                       * power(2, least(20, t.failures - limits.free))) END,
        updated_at = now()
    FROM (VALUES (account, free), (address, free * 10), (pair, free)) AS limits (key, free)
    WHERE t.key = limits.key;
    RETURN QUERY
    SELECT u.id, u.tenant_id, u.password_hash, u.is_active AND NOT u.is_blocked,
        0::double precision
    FROM (SELECT) AS attempt LEFT JOIN users u ON u.username_key = username_key(name);
END $$;
