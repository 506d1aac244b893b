"""Appends by the version before give no position twice, and raise the session's version."""

from __future__ import annotations

from alembic import op

revision = "g0028"
down_revision = "g0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for statement in (ADD_MESSAGE, ADD_MESSAGES, APPEND_MESSAGE, APPEND_MESSAGES):
        op.execute(statement)


def downgrade() -> None:
    for statement in (
        ADD_MESSAGE_BEFORE,
        ADD_MESSAGES_BEFORE,
        APPEND_MESSAGE_BEFORE,
        APPEND_MESSAGES_BEFORE,
    ):
        op.execute(statement)


ADD_MESSAGE = """
CREATE OR REPLACE FUNCTION add_message(
    tenant uuid, owner uuid, session uuid, id uuid, role text, content text,
    not_after timestamptz
) RETURNS TABLE (first_position bigint, created_at timestamptz)
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SET LOCAL app.tenant_id = %L', tenant);
    UPDATE chat_sessions s
    SET message_count = s.message_count + 1, last_position = s.last_position + 1,
        version = s.version + 1, updated_at = now(), changed_minute = date_trunc('minute', now())
    WHERE s.tenant_id = tenant AND s.id = session AND s.user_id IS NOT DISTINCT FROM owner
    RETURNING coalesce(s.last_position, s.message_count), s.updated_at
    INTO first_position, created_at;
    IF FOUND THEN
        INSERT INTO messages (tenant_id, id, session_id, position, role, content, created_at)
        VALUES (tenant, id, session, first_position, role, content, created_at);
        PERFORM check_write(tenant, owner, not_after);
        RETURN NEXT;
    END IF;
END $$
"""

ADD_MESSAGES = """
CREATE OR REPLACE FUNCTION add_messages(
    tenant uuid, owner uuid, session uuid, ids uuid[], roles text[], contents text[],
    not_after timestamptz
) RETURNS TABLE (first_position bigint, created_at timestamptz)
LANGUAGE plpgsql AS $$
DECLARE
    last bigint;
BEGIN
    EXECUTE format('SET LOCAL app.tenant_id = %L', tenant);
    UPDATE chat_sessions s
    SET message_count = s.message_count + cardinality(ids),
        last_position = s.last_position + cardinality(ids), version = s.version + 1,
        updated_at = now(), changed_minute = date_trunc('minute', now())
    WHERE s.tenant_id = tenant AND s.id = session AND s.user_id IS NOT DISTINCT FROM owner
    RETURNING coalesce(s.last_position, s.message_count), s.updated_at INTO last, created_at;
    IF FOUND THEN
        first_position := last - cardinality(ids) + 1;
        INSERT INTO messages (tenant_id, id, session_id, position, role, content, created_at)
        SELECT s.tenant_id, new.id, s.id, first_position + new.ordinal - 1, new.role, new.content,
            add_messages.created_at
        FROM chat_sessions s
        CROSS JOIN unnest(ids, roles, contents) WITH ORDINALITY AS new (id, role, content, ordinal)
        WHERE s.tenant_id = tenant AND s.id = session;
        PERFORM check_write(tenant, owner, not_after);
        RETURN NEXT;
    END IF;
END $$
"""

APPEND_MESSAGE = """
CREATE OR REPLACE FUNCTION append_message(
    tenant uuid, owner uuid, session uuid, id uuid, role text, content text
) RETURNS TABLE (first_position bigint, created_at timestamptz)
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SET LOCAL app.tenant_id = %L', tenant);
    UPDATE chat_sessions s
    SET message_count = s.message_count + 1, last_position = s.last_position + 1,
        version = s.version + 1, updated_at = now(), changed_minute = date_trunc('minute', now())
    WHERE s.tenant_id = tenant AND s.id = session AND s.user_id IS NOT DISTINCT FROM owner
    RETURNING coalesce(s.last_position, s.message_count), s.updated_at
    INTO first_position, created_at;
    IF FOUND THEN
        INSERT INTO messages (tenant_id, id, session_id, position, role, content, created_at)
        VALUES (tenant, id, session, first_position, role, content, created_at);
        RETURN NEXT;
    END IF;
END $$
"""

APPEND_MESSAGES = """
CREATE OR REPLACE FUNCTION append_messages(
    tenant uuid, owner uuid, session uuid, ids uuid[], roles text[], contents text[]
) RETURNS TABLE (first_position bigint, created_at timestamptz)
LANGUAGE plpgsql AS $$
DECLARE
    last bigint;
BEGIN
    EXECUTE format('SET LOCAL app.tenant_id = %L', tenant);
    UPDATE chat_sessions s
    SET message_count = s.message_count + cardinality(ids),
        last_position = s.last_position + cardinality(ids), version = s.version + 1,
        updated_at = now(), changed_minute = date_trunc('minute', now())
    WHERE s.tenant_id = tenant AND s.id = session AND s.user_id IS NOT DISTINCT FROM owner
    RETURNING coalesce(s.last_position, s.message_count), s.updated_at INTO last, created_at;
    IF FOUND THEN
        first_position := last - cardinality(ids) + 1;
        INSERT INTO messages (tenant_id, id, session_id, position, role, content, created_at)
        SELECT s.tenant_id, new.id, s.id, first_position + new.ordinal - 1, new.role, new.content,
            append_messages.created_at
        FROM chat_sessions s
        CROSS JOIN unnest(ids, roles, contents) WITH ORDINALITY AS new (id, role, content, ordinal)
        WHERE s.tenant_id = tenant AND s.id = session;
        RETURN NEXT;
    END IF;
END $$
"""

ADD_MESSAGE_BEFORE = """
CREATE OR REPLACE FUNCTION add_message(
    tenant uuid, owner uuid, session uuid, id uuid, role text, content text,
    not_after timestamptz
) RETURNS TABLE (first_position bigint, created_at timestamptz)
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SET LOCAL app.tenant_id = %L', tenant);
    UPDATE chat_sessions s SET message_count = s.message_count + 1, updated_at = now()
    WHERE s.tenant_id = tenant AND s.id = session AND s.user_id = owner
    RETURNING s.message_count, s.updated_at INTO first_position, created_at;
    IF FOUND THEN
        INSERT INTO messages (tenant_id, id, session_id, position, role, content, created_at)
        VALUES (tenant, id, session, first_position, role, content, created_at);
        PERFORM check_write(tenant, owner, not_after);
        RETURN NEXT;
    END IF;
END $$
"""

ADD_MESSAGES_BEFORE = """
CREATE OR REPLACE FUNCTION add_messages(
    tenant uuid, owner uuid, session uuid, ids uuid[], roles text[], contents text[],
    not_after timestamptz
) RETURNS TABLE (first_position bigint, created_at timestamptz)
LANGUAGE plpgsql AS $$
DECLARE
    last bigint;
BEGIN
    EXECUTE format('SET LOCAL app.tenant_id = %L', tenant);
    UPDATE chat_sessions s
    SET message_count = s.message_count + cardinality(ids), updated_at = now()
    WHERE s.tenant_id = tenant AND s.id = session AND s.user_id = owner
    RETURNING s.message_count, s.updated_at INTO last, created_at;
    IF FOUND THEN
        first_position := last - cardinality(ids) + 1;
        INSERT INTO messages (tenant_id, id, session_id, position, role, content, created_at)
        SELECT s.tenant_id, new.id, s.id, first_position + new.ordinal - 1, new.role, new.content,
            add_messages.created_at
        FROM chat_sessions s
        CROSS JOIN unnest(ids, roles, contents) WITH ORDINALITY AS new (id, role, content, ordinal)
        WHERE s.tenant_id = tenant AND s.id = session;
        PERFORM check_write(tenant, owner, not_after);
        RETURN NEXT;
    END IF;
END $$
"""

APPEND_MESSAGE_BEFORE = """
CREATE OR REPLACE FUNCTION append_message(
    tenant uuid, owner uuid, session uuid, id uuid, role text, content text
) RETURNS TABLE (first_position bigint, created_at timestamptz)
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SET LOCAL app.tenant_id = %L', tenant);
    UPDATE chat_sessions s SET message_count = s.message_count + 1, updated_at = now()
    WHERE s.tenant_id = tenant AND s.id = session AND s.user_id = owner
    RETURNING s.message_count, s.updated_at INTO first_position, created_at;
    IF FOUND THEN
        INSERT INTO messages (tenant_id, id, session_id, position, role, content, created_at)
        VALUES (tenant, id, session, first_position, role, content, created_at);
        RETURN NEXT;
    END IF;
END $$
"""

APPEND_MESSAGES_BEFORE = """
CREATE OR REPLACE FUNCTION append_messages(
    tenant uuid, owner uuid, session uuid, ids uuid[], roles text[], contents text[]
) RETURNS TABLE (first_position bigint, created_at timestamptz)
LANGUAGE plpgsql AS $$
DECLARE
    last bigint;
BEGIN
    EXECUTE format('SET LOCAL app.tenant_id = %L', tenant);
    UPDATE chat_sessions s
    SET message_count = s.message_count + cardinality(ids), updated_at = now()
    WHERE s.tenant_id = tenant AND s.id = session AND s.user_id = owner
    RETURNING s.message_count, s.updated_at INTO last, created_at;
    IF FOUND THEN
        first_position := last - cardinality(ids) + 1;
        INSERT INTO messages (tenant_id, id, session_id, position, role, content, created_at)
        SELECT s.tenant_id, new.id, s.id, first_position + new.ordinal - 1, new.role, new.content,
            append_messages.created_at
        FROM chat_sessions s
        CROSS JOIN unnest(ids, roles, contents) WITH ORDINALITY AS new (id, role, content, ordinal)
        WHERE s.tenant_id = tenant AND s.id = session;
        RETURN NEXT;
    END IF;
END $$
"""
