"""Sealed rows are copied and converted by the service, which reads them as they are stored."""

from __future__ import annotations

from alembic import op

revision = "g0051"
down_revision = "g0050"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for statement in (LOCK_FORK, STORED_MESSAGES, FORGET_KEY):
        op.execute(statement)


def downgrade() -> None:
    for name in ("forget_key", "stored_messages", "lock_fork"):
        op.execute(f"DROP FUNCTION {name}")


LOCK_FORK = """
CREATE FUNCTION lock_fork(
    tenant uuid, owner uuid, session uuid, up_to bigint, most_messages bigint
) RETURNS TABLE (last bigint, messages bigint) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SET LOCAL app.tenant_id = %L', tenant);
    PERFORM FROM owners o WHERE o.tenant_id = tenant AND o.user_id = owner FOR KEY SHARE;
    SELECT coalesce(s.last_position, s.message_count) INTO last FROM chat_sessions s
    WHERE s.tenant_id = tenant AND s.id = session AND s.user_id = owner FOR SHARE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF up_to > last THEN
        RAISE EXCEPTION 'the session ends before this position' USING ERRCODE = 'BC021';
    END IF;
    last := coalesce(up_to, last);
    SELECT count(*) INTO messages FROM (
        SELECT FROM messages m
        WHERE m.tenant_id = tenant AND m.session_id = session AND m.position <= last
        LIMIT most_messages + 1) AS m;
    IF messages > most_messages THEN
        RAISE EXCEPTION 'there is too much to copy' USING ERRCODE = 'BC022';
    END IF;
    RETURN NEXT;
END $$
"""

STORED_MESSAGES = """
CREATE FUNCTION stored_messages(
    tenant uuid, session uuid, after bigint, last bigint, sealed_ones boolean, rows bigint,
    bytes bigint
) RETURNS SETOF messages LANGUAGE plpgsql AS $$
DECLARE
    reached bigint;
BEGIN
    EXECUTE format('SET LOCAL app.tenant_id = %L', tenant);
    SELECT max(next.position) INTO reached
    FROM (
        SELECT m.position, row_number() OVER (ORDER BY m.position) AS place,
            sum(m.size) OVER (ORDER BY m.position) AS total
        FROM (
            SELECT x.position, coalesce(x.sealed_size, octet_length(x.content)
                + coalesce(octet_length(x.parts), 0)) AS size
            FROM messages x
            WHERE x.tenant_id = tenant AND x.session_id = session
            AND x.position > after AND x.position <= last
            AND (sealed_ones IS NULL OR (x.sealed IS NOT NULL) = sealed_ones)
            ORDER BY x.position LIMIT rows
        ) AS m
    ) AS next
    WHERE next.place = 1 OR next.total <= bytes;
    RETURN QUERY
        SELECT * FROM messages m
        WHERE m.tenant_id = tenant AND m.session_id = session
        AND m.position > after AND m.position <= reached
        AND (sealed_ones IS NULL OR (m.sealed IS NOT NULL) = sealed_ones)
        ORDER BY m.position LIMIT rows;
END $$
"""

FORGET_KEY = """
CREATE FUNCTION forget_key(tenant uuid, owner uuid)
RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SET LOCAL app.tenant_id = %L', tenant);
    IF is_sealed(tenant, owner) THEN
        RETURN false;
    END IF;
    UPDATE owners o SET key_id = NULL
    WHERE o.tenant_id = tenant AND o.user_id = owner AND o.key_id IS NOT NULL;
    RETURN true;
END $$
"""
