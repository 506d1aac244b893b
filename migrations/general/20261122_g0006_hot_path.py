"""The three hot routes, each one statement: the tenant's setting and the work in one round trip.

Functions of the caller's own rights: row level security holds in them as it does outside.
"""

from __future__ import annotations

from alembic import op

revision = "g0006"
down_revision = "g0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for statement in (CHAT_SESSION, MESSAGE_PAGE, APPEND_MESSAGE, APPEND_MESSAGES):
        op.execute(statement)


def downgrade() -> None:
    for name in ("append_messages", "append_message", "message_page", "chat_session_of"):
        op.execute(f"DROP FUNCTION {name}")


# SET LOCAL, not set_config(): Citus hands only the former on to its workers. It ends with the
# transaction, which outside of BEGIN is the one statement that calls the function.
IN_TENANT = "EXECUTE format('SET LOCAL app.tenant_id = %L', tenant);"

CHAT_SESSION = f"""
CREATE FUNCTION chat_session_of(tenant uuid, owner uuid, session uuid)
RETURNS TABLE (
    id uuid, title varchar, message_count bigint, created_at timestamptz, updated_at timestamptz
) LANGUAGE plpgsql AS $$
BEGIN
    {IN_TENANT}
    RETURN QUERY
        SELECT s.id, s.title, s.message_count, s.created_at, s.updated_at FROM chat_sessions s
        WHERE s.tenant_id = tenant AND s.id = session AND s.user_id = owner;
END $$
"""

# No row: not this owner's session. An empty session is one row of NULLs. `beyond` is a variable
# because PostgreSQL takes a coalesce() in the condition for leaky: under row level security it
# would filter by it, reading from the end of the session, instead of looking it up in the index.
MESSAGE_PAGE = f"""
CREATE FUNCTION message_page(
    tenant uuid, owner uuid, session uuid, newest_first boolean, after bigint, rows bigint
) RETURNS TABLE (
    id uuid, session_id uuid, "position" bigint, role varchar, content text, created_at timestamptz
) LANGUAGE plpgsql AS $$
DECLARE
    beyond bigint := coalesce(after, CASE WHEN newest_first THEN 9223372036854775807 ELSE 0 END);
BEGIN
    {IN_TENANT}
    IF newest_first THEN
        RETURN QUERY
            SELECT m.id, s.id, m.position, m.role, m.content, m.created_at
            FROM chat_sessions s LEFT JOIN LATERAL (
                SELECT * FROM messages
                WHERE messages.tenant_id = tenant AND messages.session_id = session
                AND messages.position < beyond
                ORDER BY messages.position DESC LIMIT rows
            ) AS m ON true
            WHERE s.tenant_id = tenant AND s.id = session AND s.user_id = owner;
    ELSE
        RETURN QUERY
            SELECT m.id, s.id, m.position, m.role, m.content, m.created_at
            FROM chat_sessions s LEFT JOIN LATERAL (
                SELECT * FROM messages
                WHERE messages.tenant_id = tenant AND messages.session_id = session
                AND messages.position > beyond
                ORDER BY messages.position LIMIT rows
            ) AS m ON true
            WHERE s.tenant_id = tenant AND s.id = session AND s.user_id = owner;
    END IF;
END $$
"""

# Raising the count takes the session's row lock, so concurrent writers queue here and positions
# come out gapless; a session that is not this owner's yields no row, and nothing is inserted.
APPEND_MESSAGE = f"""
CREATE FUNCTION append_message(
    tenant uuid, owner uuid, session uuid, id uuid, role text, content text
) RETURNS TABLE (first_position bigint, created_at timestamptz)
LANGUAGE plpgsql AS $$
BEGIN
    {IN_TENANT}
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

# The same for many; arrays would make one message a third dearer.
APPEND_MESSAGES = f"""
CREATE FUNCTION append_messages(
    tenant uuid, owner uuid, session uuid, ids uuid[], roles text[], contents text[]
) RETURNS TABLE (first_position bigint, created_at timestamptz)
LANGUAGE plpgsql AS $$
DECLARE
    last bigint;
BEGIN
    {IN_TENANT}
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
