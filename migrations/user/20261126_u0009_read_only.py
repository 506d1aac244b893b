"""A token's look-up needs no write on a server that takes none, so reading goes on there."""

from __future__ import annotations

from alembic import op

revision = "u0009"
down_revision = "u0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(AUTHENTICATE % UNLESS_READ_ONLY)


def downgrade() -> None:
    op.execute(AUTHENTICATE % "")


UNLESS_READ_ONLY = """
    AND current_setting('transaction_read_only') = 'off'"""

AUTHENTICATE = """
CREATE OR REPLACE FUNCTION authenticate(token_digest bytea, idle interval)
RETURNS TABLE (user_id uuid, tenant_id uuid, username varchar, roles jsonb)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
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
    IF used < now() - least(interval '1 minute', idle / 4)%s THEN
        UPDATE access_tokens t SET last_used_at = now() WHERE t.digest = token_digest;
    END IF;
    RETURN NEXT;
END $$
"""
