-- Returns the credentials of a username, or how long to wait, in one round trip before a password
-- is hashed.
--
-- The attempt is stored as failed from the start; `confirm_login` takes that back. Each failure
-- counts for an hour: by account, by address, and by both together. Beyond the free ones, ten times
-- as many for an address as for an account, the delay after the newest doubles from one second up
-- to the longest.
--
-- Two rules see to it that nobody is locked out. An address with fewer than three failures in the
-- last hour is never delayed. One from which the account has logged in within thirty days is
-- delayed by failures of this account at this very address alone, so by nothing that strangers do
-- elsewhere to the account, or there to other accounts.
--
-- The failures are read twice, at first without a lock and then while no other attempt at the
-- account or from the address is there: of a thousand sent at once, each finds those that came
-- before it. The user is locked first, as `confirm_login` finds them locked. The times are
-- clock_timestamp()'s, since now() stands still while the attempt waits.
CREATE OR REPLACE FUNCTION begin_login(
    name varchar, account bytea, address bytea, free integer, longest interval
) RETURNS TABLE (
    user_id uuid, tenant_id uuid, password_hash varchar, may_log_in boolean,
    retry_after_seconds double precision
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    key text := username_key(name);
    hour_ago timestamptz := clock_timestamp() - interval '1 hour';
BEGIN
    FOR look IN 1..2 LOOP
        SELECT max(extract(epoch FROM c.newest - clock_timestamp()) + least(
            extract(epoch FROM longest), power(2, least(20, c.failures - c.allowed - 1))))
        INTO retry_after_seconds
        FROM (
            SELECT count(*), max(f.at), free FROM (
                SELECT f.at FROM login_failures f
                WHERE f.account = begin_login.account AND f.address = begin_login.address
                AND f.at > hour_ago ORDER BY f.at DESC LIMIT free + 22) AS f
            UNION ALL
            SELECT count(*), max(f.at), f.allowed FROM (
                (SELECT f.at, free AS allowed FROM login_failures f
                 WHERE f.account = begin_login.account
                 AND f.at > hour_ago ORDER BY f.at DESC LIMIT free + 22)
                UNION ALL
                (SELECT f.at, free * 10 FROM login_failures f
                 WHERE f.address = begin_login.address
                 AND f.at > hour_ago ORDER BY f.at DESC LIMIT free * 10 + 22)) AS f
            WHERE NOT EXISTS (
                SELECT FROM users u
                JOIN login_addresses a ON a.tenant_id = u.tenant_id AND a.user_id = u.id
                WHERE u.username_key = key AND a.address = begin_login.address
                AND a.last_login_at > now() - interval '30 days')
            GROUP BY f.allowed) AS c (failures, newest, allowed)
        WHERE c.failures > c.allowed AND 3 <= (
            SELECT count(*) FROM (
                SELECT FROM login_failures f WHERE f.address = begin_login.address
                AND f.at > hour_ago LIMIT 3) AS recent);
        IF retry_after_seconds > 0 THEN
            RETURN NEXT;
            RETURN;
        END IF;
        EXIT WHEN look = 2;
        SELECT u.id, u.tenant_id, u.password_hash, u.is_active AND NOT u.is_blocked
        INTO user_id, tenant_id, password_hash, may_log_in
        FROM users u WHERE u.username_key = key FOR KEY SHARE;
        PERFORM pg_advisory_xact_lock(k) FROM (
            SELECT hashtextextended(encode(d, 'hex'), 2) AS k
            FROM unnest(ARRAY[account, address]) AS d ORDER BY k) AS locks;
    END LOOP;
    INSERT INTO login_failures (account, address, at, tenant_id, user_id)
    VALUES (account, address, clock_timestamp(), tenant_id, user_id) ON CONFLICT DO NOTHING;
    DELETE FROM login_failures f WHERE (f.account, f.address, f.at) IN (
        SELECT old.account, old.address, old.at FROM login_failures old
        WHERE old.at < hour_ago ORDER BY old.at LIMIT 10 FOR UPDATE SKIP LOCKED);
    retry_after_seconds := 0;
    RETURN NEXT;
END $$;
