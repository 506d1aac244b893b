"""Whoever calls is looked up with their wrapped key, in the one round trip there was."""

from __future__ import annotations

from alembic import op

revision = "u0051"
down_revision = "u0050"
branch_labels = None
depends_on = None

DEFINER = "SECURITY DEFINER SET search_path = public, pg_temp"


def upgrade() -> None:
    for function in (CALLER_OF_TOKEN, CALLER_OF_KEY):
        op.execute(function)


def downgrade() -> None:
    for function in ("caller_of_token(bytea, interval)", "caller_of_key(bytea, uuid, text)"):
        op.execute(f"DROP FUNCTION {function}")


CALLER_OF_TOKEN = f"""
CREATE OR REPLACE FUNCTION caller_of_token(token_digest bytea, idle interval)
RETURNS TABLE (
    user_id uuid, tenant_id uuid, username varchar, roles jsonb, scopes jsonb,
    wrapped_id uuid, master_id text, wrapped bytea, is_sealing boolean
) LANGUAGE plpgsql {DEFINER} AS $$
DECLARE
    used timestamptz;
BEGIN
    SELECT u.id, u.tenant_id, u.username, u.roles, t.scopes, t.last_used_at,
        w.id, w.master_id, w.wrapped, (SELECT s.is_on FROM sealing s)
    INTO user_id, tenant_id, username, roles, scopes, used,
        wrapped_id, master_id, wrapped, is_sealing
    FROM access_tokens t JOIN users u ON u.id = t.user_id AND u.tenant_id = t.tenant_id
    LEFT JOIN wrapped_keys w ON w.tenant_id = t.tenant_id AND w.user_id = t.user_id
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

CALLER_OF_KEY = f"""
CREATE OR REPLACE FUNCTION caller_of_key(key_digest bytea, subject uuid, subject_external_id text)
RETURNS TABLE (
    key_id uuid, tenant_id uuid, tenant_name varchar, scopes jsonb,
    user_id uuid, username varchar, roles jsonb, subject_state text,
    wrapped_id uuid, master_id text, wrapped bytea, is_sealing boolean
) LANGUAGE plpgsql {DEFINER} AS $$
DECLARE
    used timestamptz;
BEGIN
    IF subject_external_id IS NULL THEN
        SELECT k.id, k.tenant_id, k.scopes, k.last_used_at, u.id, u.username, u.roles, CASE
            WHEN NOT u.is_active THEN 'inactive' WHEN u.is_blocked THEN 'blocked'
            WHEN u.is_active THEN 'present' END,
            w.id, w.master_id, w.wrapped, (SELECT s.is_on FROM sealing s)
        INTO key_id, tenant_id, scopes, used, user_id, username, roles, subject_state,
            wrapped_id, master_id, wrapped, is_sealing
        FROM api_keys k LEFT JOIN users u ON u.tenant_id = k.tenant_id AND u.id = subject
        LEFT JOIN wrapped_keys w ON w.tenant_id = u.tenant_id AND w.user_id = u.id
        WHERE k.digest = key_digest AND (k.expires_at IS NULL OR k.expires_at > now());
    ELSE
        SELECT k.id, k.tenant_id, k.scopes, k.last_used_at, u.id, u.username, u.roles, CASE
            WHEN NOT u.is_active THEN 'inactive' WHEN u.is_blocked THEN 'blocked'
            WHEN u.is_active THEN 'present' END,
            w.id, w.master_id, w.wrapped, (SELECT s.is_on FROM sealing s)
        INTO key_id, tenant_id, scopes, used, user_id, username, roles, subject_state,
            wrapped_id, master_id, wrapped, is_sealing
        FROM api_keys k LEFT JOIN users u
        ON u.tenant_id = k.tenant_id AND u.external_id = subject_external_id
        LEFT JOIN wrapped_keys w ON w.tenant_id = u.tenant_id AND w.user_id = u.id
        WHERE k.digest = key_digest AND (k.expires_at IS NULL OR k.expires_at > now());
    END IF;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF (used IS NULL OR used < now() - interval '1 minute')
    AND current_setting('transaction_read_only') = 'off' THEN
        UPDATE api_keys k SET last_used_at = now()
        WHERE k.tenant_id = caller_of_key.tenant_id AND k.id = (
            SELECT free.id FROM api_keys free WHERE free.id = key_id
            FOR NO KEY UPDATE SKIP LOCKED);
    END IF;
    IF user_id IS NOT NULL THEN
        RETURN NEXT;
        RETURN;
    END IF;
    SELECT t.name INTO tenant_name FROM tenants t WHERE t.id = caller_of_key.tenant_id;
    IF subject IS NOT NULL THEN
        SELECT l.state INTO subject_state FROM subject_ledger l
        WHERE l.tenant_id = caller_of_key.tenant_id AND l.user_id = subject
        AND l.state = 'deleted';
    END IF;
    RETURN NEXT;
END $$
"""
