-- Takes back what `begin_login` stored of the account at this address, since the password was right,
-- and remembers that the account has logged in from here. What others failed at stays: somebody with
-- an account of their own gains nothing by logging in to it between their guesses.
--
-- The address is noted once an hour at most, so that logins at once do not wait for each other, and
-- a user's newest hundred within thirty days are kept.
CREATE OR REPLACE FUNCTION confirm_login(account bytea, address bytea) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    tenant uuid;
    person uuid;
BEGIN
    SELECT f.tenant_id, f.user_id INTO tenant, person FROM login_failures f
    WHERE f.account = confirm_login.account AND f.address = confirm_login.address
    AND f.user_id IS NOT NULL LIMIT 1;
    -- Before the failures, as whoever deletes the user locks both.
    PERFORM FROM users u WHERE u.tenant_id = tenant AND u.id = person FOR KEY SHARE;
    IF NOT FOUND THEN
        RETURN; -- deleted meanwhile, with the failures
    END IF;
    DELETE FROM login_failures f WHERE (f.account, f.address, f.at) IN (
        SELECT own.account, own.address, own.at FROM login_failures own
        WHERE own.account = confirm_login.account AND own.address = confirm_login.address
        ORDER BY own.at FOR UPDATE);
    IF EXISTS (
        SELECT FROM login_addresses a
        WHERE a.tenant_id = tenant AND a.user_id = person AND a.address = confirm_login.address
        AND a.last_login_at > now() - interval '1 hour') THEN
        RETURN;
    END IF;
    INSERT INTO login_addresses (tenant_id, user_id, address)
    VALUES (tenant, person, confirm_login.address)
    ON CONFLICT ON CONSTRAINT pk_login_addresses DO UPDATE SET last_login_at = now();
    DELETE FROM login_addresses a WHERE a.tenant_id = tenant AND a.user_id = person
    AND a.address IN (
        SELECT old.address FROM login_addresses old
        WHERE old.tenant_id = tenant AND old.user_id = person
        ORDER BY old.last_login_at > now() - interval '30 days' DESC, old.last_login_at DESC
        OFFSET 100)
    OR a.tenant_id = tenant AND a.user_id = person
    AND a.last_login_at < now() - interval '30 days';
END $$;
