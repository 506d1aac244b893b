"""A held owner is neither closed nor erased: the trigger refuses it, whatever function tries."""

from __future__ import annotations

from alembic import op

revision = "g0035"
down_revision = "g0034"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for statement in CHANGED:
        op.execute(statement)


def downgrade() -> None:
    for statement in (KEEP_OWNER_FORWARD, CHECK_CLOSED):
        op.execute(statement)


CHANGED = (
    """
CREATE OR REPLACE FUNCTION keep_owner_forward() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    states constant text[] := ARRAY['open', 'closed', 'erased'];
BEGIN
    IF TG_OP <> 'UPDATE' THEN
        RAISE EXCEPTION 'an owner is never removed' USING ERRCODE = '23514';
    END IF;
    IF (NEW.tenant_id, NEW.user_id) IS DISTINCT FROM (OLD.tenant_id, OLD.user_id)
    OR array_position(states, NEW.state::text) < array_position(states, OLD.state::text)
    OR NEW.chat_sessions < OLD.chat_sessions OR NEW.messages < OLD.messages
    OR NEW.hold_rev < OLD.hold_rev THEN
        RAISE EXCEPTION 'an owner only moves forward' USING ERRCODE = '23514';
    END IF;
    IF OLD.held AND (NEW.state, NEW.chat_sessions, NEW.messages)
        IS DISTINCT FROM (OLD.state, OLD.chat_sessions, OLD.messages) THEN
        RAISE EXCEPTION 'the owner is held' USING ERRCODE = 'BC003';
    END IF;
    RETURN NEW;
END $$
""",
    """
CREATE OR REPLACE FUNCTION check_closed(tenant uuid, subject uuid)
RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    is_held boolean;
BEGIN
    SELECT o.held INTO is_held FROM owners o
    WHERE o.tenant_id = tenant AND o.user_id = subject
    AND o.state <> 'open' AND o.closed_at IS NOT NULL;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'only what a closed owner has is erased' USING ERRCODE = '23514';
    END IF;
    IF is_held THEN
        RAISE EXCEPTION 'the owner is held' USING ERRCODE = 'BC003';
    END IF;
END $$
""",
)

# The functions of before.
KEEP_OWNER_FORWARD = """
CREATE OR REPLACE FUNCTION keep_owner_forward() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    states constant text[] := ARRAY['open', 'closed', 'erased'];
BEGIN
    IF TG_OP <> 'UPDATE' THEN
        RAISE EXCEPTION 'an owner is never removed' USING ERRCODE = '23514';
    END IF;
    IF (NEW.tenant_id, NEW.user_id) IS DISTINCT FROM (OLD.tenant_id, OLD.user_id)
    OR array_position(states, NEW.state::text) < array_position(states, OLD.state::text)
    OR NEW.chat_sessions < OLD.chat_sessions OR NEW.messages < OLD.messages THEN
        RAISE EXCEPTION 'an owner only moves forward' USING ERRCODE = '23514';
    END IF;
    RETURN NEW;
END $$
"""

CHECK_CLOSED = """
CREATE OR REPLACE FUNCTION check_closed(tenant uuid, subject uuid)
RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM FROM owners o
    WHERE o.tenant_id = tenant AND o.user_id = subject
    AND o.state <> 'open' AND o.closed_at IS NOT NULL;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'only what a closed owner has is erased' USING ERRCODE = '23514';
    END IF;
END $$
"""
