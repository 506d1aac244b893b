"""An API key and the person it acts for are found by one statement.

A person without a row is taken for a deleted one only where the ledger says so.
"""

from __future__ import annotations

from alembic import op

revision = "u0044"
down_revision = "u0043"
branch_labels = None
depends_on = None

DEFINER = "SECURITY DEFINER SET search_path = public, pg_temp"


def upgrade() -> None:
    op.execute(AUTHENTICATE_KEY)


def downgrade() -> None:
    op.execute(BEFORE)


AUTHENTICATE_KEY = f"""
CREATE OR REPLACE FUNCTION
authenticate_key(key_digest bytea, subject uuid, subject_external_id text)
RETURNS TABLE (
    key_id uuid, tenant_id uuid, tenant_name varchar, scopes jsonb,
    user_id uuid, username varchar, roles jsonb, subject_state text
) LANGUAGE plpgsql {DEFINER} AS $$
DECLARE
    used timestamptz;
BEGIN
    IF subject_external_id IS NULL THEN
        SELECT k.id, k.tenant_id, k.scopes, k.last_used_at, u.id, u.username, u.roles, CASE
            WHEN NOT u.is_active THEN 'inactive' WHEN u.is_blocked THEN 'blocked'
            WHEN u.is_active THEN 'present' END
        INTO key_id, tenant_id, scopes, used, user_id, username, roles, subject_state
        FROM api_keys k LEFT JOIN users u ON u.tenant_id = k.tenant_id AND u.id = subject
        WHERE k.digest = key_digest AND (k.expires_at IS NULL OR k.expires_at > now());
    ELSE
        SELECT k.id, k.tenant_id, k.scopes, k.last_used_at, u.id, u.username, u.roles, CASE
            WHEN NOT u.is_active THEN 'inactive' WHEN u.is_blocked THEN 'blocked'
            WHEN u.is_active THEN 'present' END
        INTO key_id, tenant_id, scopes, used, user_id, username, roles, subject_state
        FROM api_keys k LEFT JOIN users u
        ON u.tenant_id = k.tenant_id AND u.external_id = subject_external_id
        WHERE k.digest = key_digest AND (k.expires_at IS NULL OR k.expires_at > now());
    END IF;
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
    IF user_id IS NOT NULL THEN
        RETURN NEXT;
        RETURN;
    END IF;
    SELECT t.name INTO tenant_name FROM tenants t WHERE t.id = authenticate_key.tenant_id;
    IF subject IS NOT NULL THEN
        SELECT l.state INTO subject_state FROM subject_ledger l
        WHERE l.tenant_id = authenticate_key.tenant_id AND l.user_id = subject
        AND l.state = 'deleted';
    END IF;
    RETURN NEXT;
END $$
"""

BEFORE = f"""
CREATE OR REPLACE FUNCTION
authenticate_key(key_digest bytea, subject uuid, subject_external_id text)
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
