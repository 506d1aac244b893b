"""Functions that look across tenants, SECURITY DEFINER, each for one purpose; login throttling."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "u0003"
down_revision = "u0002"
branch_labels = None
depends_on = None

NOW = sa.text("now()")
TIMES = sa.DateTime(timezone=True)


def upgrade() -> None:
    _login_throttles()
    for statement in (AUTHENTICATE, LOGIN_ATTEMPT, LOGIN_SUCCEEDED, *PLATFORM):
        op.execute(statement)


def downgrade() -> None:
    for signature in SIGNATURES:
        op.execute(f"DROP FUNCTION {signature}")
    op.drop_table("login_throttles")


def _login_throttles() -> None:
    op.create_table(
        "login_throttles",
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("failures", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("retry_at", TIMES, server_default=NOW, nullable=False),
        sa.Column("succeeded_at", TIMES),
        sa.Column("updated_at", TIMES, server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_login_throttles"),
    )
    op.create_index("idx_login_throttles_updated_at", "login_throttles", ["updated_at"])


DEFINER = "SECURITY DEFINER SET search_path = public, pg_temp"

# One indexed round trip for each request. `last_used_at` is written once a minute at most, so
# that reading with a token does not write a row each time.
AUTHENTICATE = f"""
CREATE FUNCTION authenticate(token_digest bytea, idle interval)
RETURNS TABLE (user_id uuid, tenant_id uuid, username varchar, roles jsonb)
LANGUAGE plpgsql {DEFINER} AS $$
DECLARE
    used timestamptz;
BEGIN
    SELECT u.id, u.tenant_id, u.username, u.roles, t.last_used_at
    INTO user_id, tenant_id, username, roles, used
    FROM access_tokens t JOIN users u ON u.id = t.user_id
    WHERE t.digest = token_digest AND t.expires_at > now() AND t.last_used_at > now() - idle
    AND u.is_active AND NOT u.is_blocked;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF used < now() - least(interval '1 minute', idle / 4) THEN
        UPDATE access_tokens t SET last_used_at = now() WHERE t.digest = token_digest;
    END IF;
    RETURN NEXT;
END $$
"""

# The credentials for a username, or how long to wait: one round trip before a password is hashed.
# The attempt counts as failed from the start, and looks once more when it holds the counters: of a
# thousand sent at once each sees those before it. `login_succeeded` takes it back. Counts start
# anew after a quiet hour. Beyond the free ones the delay doubles from one second up to the longest.
# An address the account has logged in from is spared the account's own delay: a stranger's
# guesses, however many, never keep the owner out. clock_timestamp: now() stands still in a queue.
LOGIN_ATTEMPT = f"""
CREATE FUNCTION login_attempt(
    name varchar, account bytea, address bytea, pair bytea, free integer, longest interval
) RETURNS TABLE (
    user_id uuid, tenant_id uuid, password_hash varchar, may_log_in boolean,
    retry_after_seconds double precision
) LANGUAGE plpgsql {DEFINER} AS $$
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
    FROM (SELECT) AS attempt LEFT JOIN users u ON u.username = name;
END $$
"""

# Locks in the order of login_attempt. An address in delay stays so: whoever has one account of
# their own could else log in between their guesses at others. Also sweeps a few rows nobody has
# touched for a month.
LOGIN_SUCCEEDED = f"""
CREATE FUNCTION login_succeeded(account bytea, address bytea, pair bytea, free integer)
RETURNS void LANGUAGE plpgsql {DEFINER} AS $$
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

# What a platform administrator needs to see across tenants. No hash leaves through these.
PLATFORM = (
    f"""
CREATE FUNCTION platform_tenants(after uuid, page integer)
RETURNS SETOF tenants LANGUAGE sql STABLE {DEFINER} AS $$
    SELECT * FROM tenants WHERE after IS NULL OR id > after ORDER BY id LIMIT page
$$
""",
    f"""
CREATE FUNCTION platform_users(after uuid, page integer)
RETURNS TABLE (id uuid, tenant_id uuid, username varchar, email varchar, roles jsonb,
               is_active boolean, is_blocked boolean, created_at timestamptz,
               updated_at timestamptz)
LANGUAGE sql STABLE {DEFINER} AS $$
    SELECT u.id, u.tenant_id, u.username, u.email, u.roles, u.is_active, u.is_blocked,
           u.created_at, u.updated_at
    FROM users u WHERE after IS NULL OR u.id > after ORDER BY u.id LIMIT page
$$
""",
    f"""
CREATE FUNCTION platform_erasures(after uuid, page integer)
RETURNS SETOF subject_ledger LANGUAGE sql STABLE {DEFINER} AS $$
    SELECT * FROM subject_ledger
    WHERE state = 'deleted' AND (after IS NULL OR user_id > after) ORDER BY user_id LIMIT page
$$
""",
    f"""
CREATE FUNCTION tenant_of_user(subject uuid) RETURNS uuid LANGUAGE sql STABLE {DEFINER} AS $$
    SELECT tenant_id FROM subject_ledger WHERE user_id = subject
$$
""",
    f"""
CREATE FUNCTION tenant_named(tenant varchar) RETURNS uuid LANGUAGE sql STABLE {DEFINER} AS $$
    SELECT id FROM tenants WHERE name = tenant
$$
""",
)

SIGNATURES = (
    "authenticate(bytea, interval)",
    "login_attempt(varchar, bytea, bytea, bytea, integer, interval)",
    "login_succeeded(bytea, bytea, bytea, integer)",
    "platform_tenants(uuid, integer)",
    "platform_users(uuid, integer)",
    "platform_erasures(uuid, integer)",
    "tenant_of_user(uuid)",
    "tenant_named(varchar)",
)
