"""A block holds from its commit: a write is refused once the look-up of its caller is too old.

Functions beside those of before, which the version before calls; and what they share with them in
the form that a sharded database runs. app/databases/sql/general says why each is as it is.
"""

from __future__ import annotations

from alembic import op

revision = "g0013"
down_revision = "g0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for statement in (CHECK, OPEN, ADD_ONE, ADD_MANY, KEEP, APPEND_MANY, OWNER_IS_OPEN):
        op.execute(statement)


def downgrade() -> None:
    for statement in (OWNER_IS_OPEN_BEFORE, APPEND_MANY_BEFORE):
        op.execute(statement)
    for name in ("keep_answer", "add_messages", "add_message", "open_chat_session", "check_write"):
        op.execute(f"DROP FUNCTION {name}")


CHECK = """
CREATE FUNCTION check_write(tenant uuid, owner uuid, not_after timestamptz)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF clock_timestamp() > not_after THEN
        RAISE EXCEPTION 'the caller was looked up too long ago' USING ERRCODE = 'BC001';
    END IF;
    PERFORM FROM owners o WHERE o.tenant_id = tenant AND o.user_id = owner AND o.state = 'open';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the owner is closed: deleted, or about to be' USING ERRCODE = 'BC002';
    END IF;
END $$
"""

OPEN = """
CREATE FUNCTION open_chat_session(
    tenant uuid, owner uuid, session uuid, name text, not_after timestamptz
) RETURNS TABLE (
    id uuid, title varchar, message_count bigint, created_at timestamptz, updated_at timestamptz
) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SET LOCAL app.tenant_id = %L', tenant);
    PERFORM FROM owners o
    WHERE o.tenant_id = tenant AND o.user_id = owner AND o.state = 'open' FOR KEY SHARE;
    IF NOT FOUND THEN
        -- Never seen here before. One who is closed stays closed, and the check refuses them.
        INSERT INTO owners (tenant_id, user_id) VALUES (tenant, owner) ON CONFLICT DO NOTHING;
    END IF;
    RETURN QUERY
        INSERT INTO chat_sessions AS s (tenant_id, id, user_id, title)
        VALUES (tenant, session, owner, name)
        RETURNING s.id, s.title, s.message_count, s.created_at, s.updated_at;
    PERFORM check_write(tenant, owner, not_after);
END $$
"""

ADD_ONE = """
CREATE FUNCTION add_message(
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

ADD_MANY = """
CREATE FUNCTION add_messages(
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

KEEP = """
CREATE FUNCTION keep_answer(
    tenant uuid, owner uuid, key text, fingerprint text, answer bytea, about uuid, kept interval,
    not_after timestamptz
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO general_idempotency_keys
        (tenant_id, user_id, key, fingerprint, answer, about_id, expires_at)
    VALUES (tenant, owner, key, fingerprint, answer, about, now() + kept)
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM check_write(tenant, owner, not_after);
    RETURN true;
END $$
"""

APPEND_MANY = """
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

APPEND_MANY_BEFORE = """
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
        SELECT tenant, new.id, session, first_position + new.ordinal - 1, new.role, new.content,
            append_messages.created_at
        FROM unnest(ids, roles, contents) WITH ORDINALITY AS new (id, role, content, ordinal);
        RETURN NEXT;
    END IF;
END $$
"""

OWNER_IS_OPEN = """
CREATE OR REPLACE FUNCTION owner_is_open() RETURNS trigger LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'sessions are written in READ COMMITTED only' USING ERRCODE = '25000';
    END IF;
    PERFORM FROM public.owners o
    WHERE o.tenant_id = NEW.tenant_id AND o.user_id = NEW.user_id AND o.state = 'open'
    FOR KEY SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the owner is closed: deleted, or about to be'
            USING ERRCODE = 'BC002', CONSTRAINT = 'owner_is_open', TABLE = 'chat_sessions';
    END IF;
    RETURN NULL;
END $$
"""

OWNER_IS_OPEN_BEFORE = """
CREATE OR REPLACE FUNCTION owner_is_open() RETURNS trigger LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'sessions are written in READ COMMITTED only' USING ERRCODE = '25000';
    END IF;
    PERFORM FROM public.owners o
    WHERE o.tenant_id = NEW.tenant_id AND o.user_id = NEW.user_id AND o.state = 'open'
    FOR KEY SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the owner is closed: deleted, or about to be'
            USING ERRCODE = '23514', CONSTRAINT = 'owner_is_open', TABLE = 'chat_sessions';
    END IF;
    RETURN NULL;
END $$
"""
