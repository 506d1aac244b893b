-- Takes back the failure that `login_attempt` counted, and remembers that this pair of account and
-- address has logged in. It locks the counters in the order of `login_attempt`, so that the two
-- never deadlock.
--
-- An address that is being delayed stays so: otherwise somebody with an account of their own could
-- log in to it between their guesses at others. The call also deletes a few counters that nobody
-- has touched for a month.
CREATE OR REPLACE FUNCTION login_succeeded(account bytea, address bytea, pair bytea, free integer)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM FROM login_throttles t WHERE t.key IN (account, address, pair)
    ORDER BY t.key FOR UPDATE;
    UPDATE login_throttles t SET
        failures = CASE WHEN t.key = pair THEN 0 ELSE greatest(t.failures - 1, 0) END,
        retry_at = CASE WHEN t.key = address AND t.failures > free * 10 THEN t.retry_at
                        ELSE now() END,
        succeeded_at = CASE WHEN t.key = pair THEN now() ELSE t.succeeded_at END
    WHERE t.key IN (account, address, pair);
    DELETE FROM login_throttles WHERE key IN (
        SELECT old.key FROM login_throttles old
        WHERE old.updated_at < now() - interval '31 days'
        ORDER BY old.updated_at LIMIT 10 FOR UPDATE SKIP LOCKED);
END $$;
