"""An API key is held together with a person of its own tenant only."""

from __future__ import annotations

from alembic import op

revision = "u0043"
down_revision = "u0042"
branch_labels = None
depends_on = None

LOCK_KEY = """
CREATE OR REPLACE FUNCTION lock_key(key_digest bytea, subject uuid) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    present jsonb;
    home uuid;
BEGIN
    IF subject IS NOT NULL THEN
        SELECT u.tenant_id INTO home FROM users u
        WHERE u.id = subject AND u.is_active AND NOT u.is_blocked FOR SHARE;
        IF NOT FOUND THEN
            RETURN NULL;
        END IF;
    END IF;
    SELECT k.scopes INTO present FROM api_keys k
    WHERE k.digest = key_digest AND (k.expires_at IS NULL OR k.expires_at > now())
    AND (home IS NULL OR k.tenant_id = home)
    FOR KEY SHARE;
    RETURN present;
END $$
"""
BEFORE = """
CREATE OR REPLACE FUNCTION lock_key(key_digest bytea, subject uuid) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
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


def upgrade() -> None:
    op.execute(LOCK_KEY)


def downgrade() -> None:
    op.execute(BEFORE)
