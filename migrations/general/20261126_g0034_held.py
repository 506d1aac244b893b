"""Owners may be held: from then on nothing they said is deleted or overwritten.

The relay sets the flag. What deletes or overwrites asks check_overwrite; a trigger asks it for
whole sessions, so that the version before, which knows of no hold, deletes none of them either.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "g0034"
down_revision = "g0033"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "owners", sa.Column("held", sa.Boolean(), server_default=sa.false(), nullable=False)
    )
    op.add_column(
        "owners",
        sa.Column("hold_rev", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
    )
    for statement in (CHECK, KEEP, TRIGGER, SET, HELD, *CHANGED):
        op.execute(statement)


def downgrade() -> None:
    for statement in BEFORE:
        op.execute(statement)
    op.execute("DROP TRIGGER keep_held ON chat_sessions")
    for name in ("held_owners", "set_hold", "keep_held", "check_overwrite"):
        op.execute(f"DROP FUNCTION {name}")
    op.drop_column("owners", "hold_rev")
    op.drop_column("owners", "held")


CHECK = """
CREATE FUNCTION check_overwrite(tenant uuid, owner uuid)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    is_held boolean;
BEGIN
    SELECT o.held INTO is_held FROM owners o
    WHERE o.tenant_id = tenant AND o.user_id = owner FOR KEY SHARE;
    IF is_held THEN
        RAISE EXCEPTION 'the owner is held' USING ERRCODE = 'BC003';
    END IF;
END $$
"""

KEEP = """
CREATE FUNCTION keep_held() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM public.check_overwrite(OLD.tenant_id, OLD.user_id);
    RETURN OLD;
END $$
"""

SET = """
CREATE FUNCTION set_hold(tenant uuid, subject uuid, is_held boolean, new_rev bigint)
RETURNS bigint LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    present_rev bigint;
BEGIN
    INSERT INTO owners (tenant_id, user_id) VALUES (tenant, subject) ON CONFLICT DO NOTHING;
    UPDATE owners o SET held = is_held, hold_rev = new_rev
    WHERE o.tenant_id = tenant AND o.user_id = subject AND o.hold_rev < new_rev;
    SELECT o.hold_rev INTO present_rev FROM owners o
    WHERE o.tenant_id = tenant AND o.user_id = subject;
    RETURN present_rev;
END $$
"""

HELD = """
CREATE FUNCTION held_owners(after_tenant uuid, after_user uuid, page integer)
RETURNS TABLE (tenant_id uuid, user_id uuid, held boolean, hold_rev bigint)
LANGUAGE sql STABLE
SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT o.tenant_id, o.user_id, o.held, o.hold_rev FROM owners o
    WHERE o.hold_rev > 0 AND (o.tenant_id, o.user_id) > (after_tenant, after_user)
    ORDER BY o.tenant_id, o.user_id LIMIT page
$$
"""

TRIGGER = """
CREATE TRIGGER keep_held BEFORE DELETE ON chat_sessions
    FOR EACH ROW EXECUTE FUNCTION keep_held()
"""

# The functions of before.
EDIT_MESSAGE = """
CREATE OR REPLACE FUNCTION edit_message(
    tenant uuid, owner uuid, session uuid, place bigint, expected_version bigint,
    expected_at timestamptz, any_role boolean, has_content boolean, new_content text,
    new_parts text, has_metadata boolean, new_metadata text, new_status text,
    not_after timestamptz
) RETURNS TABLE (
    id uuid, "position" bigint, role varchar, content text, parts text, metadata text,
    client_id varchar, status varchar, created_by uuid, created_at timestamptz,
    updated_at timestamptz, version bigint, changed_at timestamptz, refusal text
) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SET LOCAL app.tenant_id = %L', tenant);
    SELECT s.version, s.updated_at INTO version, changed_at FROM chat_sessions s
    WHERE s.tenant_id = tenant AND s.id = session AND s.user_id = owner FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT m.role INTO role FROM messages m
    WHERE m.tenant_id = tenant AND m.session_id = session AND m.position = place;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    refusal := CASE
        WHEN role <> 'user' AND NOT any_role THEN 'role'
        WHEN (expected_version, expected_at) <> (version, changed_at) THEN 'changed' END;
    IF refusal IS NULL THEN
        UPDATE chat_sessions s SET version = s.version + 1, updated_at = now(),
            changed_minute = date_trunc('minute', now())
        WHERE s.tenant_id = tenant AND s.id = session
        RETURNING s.version, s.updated_at INTO version, changed_at;
        UPDATE messages m SET
            content = CASE WHEN has_content THEN new_content ELSE m.content END,
            parts = CASE WHEN has_content THEN new_parts ELSE m.parts END,
            item_members = CASE WHEN NOT has_content THEN m.item_members END,
            is_item = m.is_item AND NOT has_content,
            metadata = CASE WHEN has_metadata THEN new_metadata ELSE m.metadata END,
            status = coalesce(new_status, m.status), updated_at = changed_at
        WHERE m.tenant_id = tenant AND m.session_id = session AND m.position = place
        RETURNING m.id, m.position, CASE WHEN m.parts IS NULL THEN m.content END, m.parts,
            m.metadata, m.client_id, m.status, m.created_by, m.created_at, m.updated_at
        INTO id, "position", content, parts, metadata, client_id, status, created_by, created_at,
            updated_at;
        PERFORM forget_answers(tenant, session, place, place);
        PERFORM check_write(tenant, owner, not_after);
    END IF;
    RETURN NEXT;
END $$
"""

DELETE_MESSAGES = """
CREATE OR REPLACE FUNCTION delete_messages(
    tenant uuid, owner uuid, session uuid, first bigint, last bigint, expected_version bigint,
    expected_at timestamptz, not_after timestamptz
) RETURNS TABLE (
    is_there boolean, is_expected boolean, deleted bigint, version bigint, changed_at timestamptz
) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SET LOCAL app.tenant_id = %L', tenant);
    SELECT s.version, s.updated_at INTO version, changed_at FROM chat_sessions s
    WHERE s.tenant_id = tenant AND s.id = session AND s.user_id = owner FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    is_there := EXISTS (
        SELECT FROM messages m
        WHERE m.tenant_id = tenant AND m.session_id = session
        AND m.position >= first AND m.position <= last);
    is_expected := expected_version IS NULL
        OR (expected_version = version AND expected_at = changed_at);
    deleted := 0;
    IF is_there AND is_expected THEN
        DELETE FROM messages m
        WHERE m.tenant_id = tenant AND m.session_id = session
        AND m.position >= first AND m.position <= last;
        GET DIAGNOSTICS deleted = ROW_COUNT;
        UPDATE chat_sessions s SET message_count = s.message_count - deleted,
            last_position = coalesce(s.last_position, s.message_count),
            version = s.version + 1, updated_at = now(),
            changed_minute = date_trunc('minute', now())
        WHERE s.tenant_id = tenant AND s.id = session
        RETURNING s.version, s.updated_at INTO version, changed_at;
        PERFORM forget_answers(tenant, session, first, last);
    END IF;
    PERFORM check_write(tenant, owner, not_after);
    RETURN NEXT;
END $$
"""

OVERWRITES = "PERFORM check_overwrite(tenant, owner);"
BEFORE = (EDIT_MESSAGE, DELETE_MESSAGES)
CHANGED = (
    EDIT_MESSAGE.replace("refusal IS NULL THEN\n", f"refusal IS NULL THEN\n        {OVERWRITES}\n"),
    DELETE_MESSAGES.replace(
        "is_there AND is_expected THEN\n",
        f"is_there AND is_expected THEN\n        {OVERWRITES}\n",
    ),
)
