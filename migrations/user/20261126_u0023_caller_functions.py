"""Functions that find and hold whoever calls: a token's user, or a key and the person it acts for.

The version before goes on with `authenticate`.
"""

from __future__ import annotations

from alembic import op

revision = "u0023"
down_revision = "u0022"
branch_labels = None
depends_on = None

DEFINER = "SECURITY DEFINER SET search_path = public, pg_temp"


def upgrade() -> None:
    for statement in (AUTHENTICATE_TOKEN, AUTHENTICATE_KEY, LOCK_KEY, TENANT_OF_KEY, EXPIRE):
        op.execute(statement)


def downgrade() -> None:
    op.execute(EXPIRE_BEFORE)
    for function in (
        "tenant_of_api_key(uuid)",
        "lock_key(bytea, uuid)",
        "authenticate_key(bytea, uuid, text)",
        "authenticate_token(bytea, interval)",
    ):
        op.execute(f"DROP FUNCTION {function}")


AUTHENTICATE_TOKEN = f"""
CREATE FUNCTION authenticate_token(token_digest bytea, idle interval)
RETURNS TABLE (user_id uuid, tenant_id uuid, username varchar, roles jsonb, scopes jsonb)
LANGUAGE plpgsql {DEFINER} AS $$
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
END $$
"""

AUTHENTICATE_KEY = f"""
CREATE FUNCTION authenticate_key(key_digest bytea, subject uuid, subject_external_id text)
RETURNS TABLE (
    key_id uuid, tenant_id uuid, tenant_name varchar, scopes jsonb,
    user_id uuid, username varchar, roles jsonb, subject_state text
) LANGUAGE plpgsql {DEFINER} AS $$
DECLARE
    used timestamptz;
BEGIN
    SELECT k.id, k.tenant_id, t.name, k.scopes, k.last_used_at
    INTO key_id, tenant_id, tenant_name, scopes, used
    FROM api_keys k JOIN tenants t ON t.id = k.tenant_id
    WHERE k.digest = key_digest AND (k.expires_at IS NULL OR k.expires_at > now());
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
    IF subject IS NOT NULL THEN
        SELECT u.id, u.username, u.roles, CASE
            WHEN NOT u.is_active THEN 'inactive' WHEN u.is_blocked THEN 'blocked' ELSE 'present' END
        INTO user_id, username, roles, subject_state
        FROM users u WHERE u.tenant_id = authenticate_key.tenant_id AND u.id = subject;
        IF NOT FOUND THEN
            SELECT l.state INTO subject_state FROM subject_ledger l
            WHERE l.tenant_id = authenticate_key.tenant_id AND l.user_id = subject;
        END IF;
    ELSIF subject_external_id IS NOT NULL THEN
        SELECT u.id, u.username, u.roles, CASE
            WHEN NOT u.is_active THEN 'inactive' WHEN u.is_blocked THEN 'blocked' ELSE 'present' END
        INTO user_id, username, roles, subject_state
        FROM users u
        WHERE u.tenant_id = authenticate_key.tenant_id AND u.external_id = subject_external_id;
    END IF;
    RETURN NEXT;
END $$
"""

LOCK_KEY = f"""
CREATE FUNCTION lock_key(key_digest bytea, subject uuid) RETURNS jsonb
LANGUAGE plpgsql {DEFINER} AS $$
DECLARE
    present jsonb;
BEGIN
    IF subject IS NOT NULL THEN
        PERFORM FROM users u
        WHERE u.id = subject AND u.is_active AND NOT u.is_blocked FOR SHARE;
        IF NOT FOUND THEN
            RETURN NULL;
        END IF;
    END IF;
    SELECT k.scopes INTO present FROM api_keys k
    WHERE k.digest = key_digest AND (k.expires_at IS NULL OR k.expires_at > now())
    FOR KEY SHARE;
    RETURN present;
END $$
"""

TENANT_OF_KEY = f"""
CREATE FUNCTION tenant_of_api_key(key_id uuid) RETURNS uuid LANGUAGE sql STABLE {DEFINER} AS $$
    SELECT tenant_id FROM api_keys WHERE id = key_id
$$
"""

EXPIRE_BEFORE = f"""
CREATE OR REPLACE FUNCTION expire_keys(rows integer) RETURNS bigint LANGUAGE sql {DEFINER} AS $$
    WITH expired AS MATERIALIZED (
        SELECT k.tenant_id, k.user_id, k.key FROM user_idempotency_keys k
        WHERE k.expires_at <= now() ORDER BY k.expires_at LIMIT rows FOR UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM user_idempotency_keys k USING expired e
        WHERE k.tenant_id = e.tenant_id AND k.user_id = e.user_id AND k.key = e.key
        RETURNING 1
    )
    SELECT count(*) FROM gone
$$
"""

EXPIRE = f"""
CREATE OR REPLACE FUNCTION expire_keys(rows integer) RETURNS bigint LANGUAGE sql {DEFINER} AS $$
    WITH expired AS MATERIALIZED (
        SELECT k.tenant_id, k.user_id, k.key FROM user_idempotency_keys k
        WHERE k.expires_at <= now() ORDER BY k.expires_at LIMIT rows FOR UPDATE SKIP LOCKED
    ), of_keys AS MATERIALIZED (
        SELECT k.tenant_id, k.api_key_id, k.key FROM api_key_answers k
        WHERE k.expires_at <= now() ORDER BY k.expires_at LIMIT rows FOR UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM user_idempotency_keys k USING expired e
        WHERE k.tenant_id = e.tenant_id AND k.user_id = e.user_id AND k.key = e.key
        RETURNING 1
    ), gone_of_keys AS (
        DELETE FROM api_key_answers k USING of_keys e
        WHERE k.tenant_id = e.tenant_id AND k.api_key_id = e.api_key_id AND k.key = e.key
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM gone) + (SELECT count(*) FROM gone_of_keys)
$$
"""
