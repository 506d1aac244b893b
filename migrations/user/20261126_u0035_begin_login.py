"""Logins begin and end by the failures of the last hour, one by one.

Before, each account, address and pair of both had a count that began anew after a quiet hour only.
A table is dropped one release after its last reader; this one is left empty, since its digests were
made without a key. Until then the version before reaches the new functions through its own.
"""

from __future__ import annotations

from alembic import op

revision = "u0035"
down_revision = "u0034"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for statement in (BEGIN_LOGIN, CONFIRM_LOGIN, LOGIN_ATTEMPT, LOGIN_SUCCEEDED):
        op.execute(statement)
    op.execute("TRUNCATE login_throttles")


def downgrade() -> None:
    for statement in (LOGIN_ATTEMPT_BEFORE, LOGIN_SUCCEEDED_BEFORE):
        op.execute(statement)
    op.execute("DROP FUNCTION confirm_login(bytea, bytea)")
    op.execute("DROP FUNCTION begin_login(varchar, bytea, bytea, integer, interval)")


BEGIN_LOGIN = """
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
END $$
"""

CONFIRM_LOGIN = """
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
END $$
"""

LOGIN_ATTEMPT = """
CREATE OR REPLACE FUNCTION login_attempt(
    name varchar, account bytea, address bytea, pair bytea, free integer, longest interval
) RETURNS TABLE (
    user_id uuid, tenant_id uuid, password_hash varchar, may_log_in boolean,
    retry_after_seconds double precision
) LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT * FROM begin_login(name, account, address, free, longest)
$$
"""

LOGIN_SUCCEEDED = """
CREATE OR REPLACE FUNCTION login_succeeded(account bytea, address bytea, pair bytea, free integer)
RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT confirm_login(account, address)
$$
"""

LOGIN_ATTEMPT_BEFORE = """
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
END $$
"""

LOGIN_SUCCEEDED_BEFORE = """
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
END $$
"""
