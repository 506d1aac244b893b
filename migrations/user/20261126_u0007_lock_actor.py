"""A block, deletion or demotion holds for what is under way, too: changes look at their actor."""

from __future__ import annotations

from alembic import op

revision = "u0007"
down_revision = "u0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(LOCK_ACTOR)


def downgrade() -> None:
    op.execute("DROP FUNCTION lock_actor(uuid, bytea)")


# Across tenants, since a platform administrator acts in the tenants of others.
LOCK_ACTOR = """
CREATE FUNCTION lock_actor(actor uuid, token bytea) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    present jsonb;
BEGIN
    SELECT u.roles INTO present FROM users u
    WHERE u.id = actor AND u.is_active AND NOT u.is_blocked FOR SHARE;
    PERFORM FROM access_tokens t
    WHERE t.digest = token AND t.user_id = actor AND t.expires_at > now() FOR KEY SHARE;
    RETURN CASE WHEN FOUND THEN present END;
END $$
"""
