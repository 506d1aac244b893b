"""Conversations have metadata, an id of the product's own and a time to expire, and are forked.

The functions from before stay for the version before.
"""

from __future__ import annotations

from alembic import op

revision = "g0026"
down_revision = "g0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for statement in (FIND_SESSION, OPEN_SESSION, FIND_OR_OPEN_SESSION, FORK_SESSION):
        op.execute(statement)


def downgrade() -> None:
    for name in ("fork_session", "find_or_open_session", "open_session", "find_session"):
        op.execute(f"DROP FUNCTION {name}")


FIND_SESSION = """
CREATE FUNCTION find_session(tenant uuid, owner uuid, session uuid)
RETURNS TABLE (
    id uuid, title varchar, message_count bigint, last_position bigint, version bigint,
    metadata text, external_id varchar, expires_at timestamptz, created_by uuid,
    forked_from_session uuid, forked_from_position bigint, created_at timestamptz,
    updated_at timestamptz, changed_minute timestamptz
) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SET LOCAL app.tenant_id = %L', tenant);
    RETURN QUERY
        SELECT s.id, s.title, s.message_count, s.last_position, s.version, s.metadata,
            s.external_id, s.expires_at, s.created_by, s.forked_from_session,
            s.forked_from_position, s.created_at, s.updated_at, s.changed_minute
        FROM chat_sessions s
        WHERE s.tenant_id = tenant AND s.id = session AND s.user_id = owner;
END $$;
"""

OPEN_SESSION = """
CREATE FUNCTION open_session(
    tenant uuid, owner uuid, session uuid, name text, pairs text, tags bytea[], external text,
    expires timestamptz, creator uuid, not_after timestamptz
) RETURNS TABLE (
    id uuid, title varchar, message_count bigint, last_position bigint, version bigint,
    metadata text, external_id varchar, expires_at timestamptz, created_by uuid,
    forked_from_session uuid, forked_from_position bigint, created_at timestamptz,
    updated_at timestamptz, changed_minute timestamptz
) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SET LOCAL app.tenant_id = %L', tenant);
    IF expires <= now() THEN
        RETURN;
    END IF;
    PERFORM FROM owners o
    WHERE o.tenant_id = tenant AND o.user_id = owner AND o.state = 'open' FOR KEY SHARE;
    IF NOT FOUND THEN
        -- Never seen here before. One who is closed stays closed, and the check refuses them.
        INSERT INTO owners (tenant_id, user_id) VALUES (tenant, owner) ON CONFLICT DO NOTHING;
    END IF;
    RETURN QUERY
        INSERT INTO chat_sessions AS s (
            tenant_id, id, user_id, title, metadata, metadata_tags, external_id, expires_at,
            created_by)
        VALUES (tenant, session, owner, name, pairs, tags, external, expires, creator)
        RETURNING s.id, s.title, s.message_count, s.last_position, s.version, s.metadata,
            s.external_id, s.expires_at, s.created_by, s.forked_from_session,
            s.forked_from_position, s.created_at, s.updated_at, s.changed_minute;
    PERFORM check_write(tenant, owner, not_after);
END $$;
"""

FIND_OR_OPEN_SESSION = """
CREATE FUNCTION find_or_open_session(
    tenant uuid, owner uuid, session uuid, name text, pairs text, tags bytea[], external text,
    expires timestamptz, creator uuid, not_after timestamptz
) RETURNS TABLE (
    id uuid, title varchar, message_count bigint, last_position bigint, version bigint,
    metadata text, external_id varchar, expires_at timestamptz, created_by uuid,
    forked_from_session uuid, forked_from_position bigint, created_at timestamptz,
    updated_at timestamptz, changed_minute timestamptz
) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SET LOCAL app.tenant_id = %L', tenant);
    LOOP
        RETURN QUERY
            SELECT s.id, s.title, s.message_count, s.last_position, s.version, s.metadata,
                s.external_id, s.expires_at, s.created_by, s.forked_from_session,
                s.forked_from_position, s.created_at, s.updated_at, s.changed_minute
            FROM chat_sessions s
            WHERE s.tenant_id = tenant AND s.user_id = owner AND s.external_id = external;
        IF FOUND THEN
            RETURN;
        END IF;
        BEGIN
            RETURN QUERY
                SELECT * FROM open_session(
                    tenant, owner, session, name, pairs, tags, external, expires, creator,
                    not_after);
            RETURN;
        EXCEPTION WHEN unique_violation THEN
            NULL;
        END;
    END LOOP;
END $$;
"""

FORK_SESSION = """
CREATE FUNCTION fork_session(
    tenant uuid, owner uuid, session uuid, up_to bigint, fork uuid, creator uuid,
    most_messages bigint, most_bytes bigint, not_after timestamptz
) RETURNS TABLE (
    id uuid, title varchar, message_count bigint, last_position bigint, version bigint,
    metadata text, external_id varchar, expires_at timestamptz, created_by uuid,
    forked_from_session uuid, forked_from_position bigint, created_at timestamptz,
    updated_at timestamptz, changed_minute timestamptz
) LANGUAGE plpgsql AS $$
DECLARE
    source record;
    last bigint;
    messages_copied bigint;
    bytes_copied bigint;
    stamp constant text := left(replace(fork::text, '-', ''), 12);
BEGIN
    EXECUTE format('SET LOCAL app.tenant_id = %L', tenant);
    PERFORM FROM owners o WHERE o.tenant_id = tenant AND o.user_id = owner FOR KEY SHARE;
    SELECT s.title, s.message_count, s.last_position, s.metadata, s.metadata_tags INTO source
    FROM chat_sessions s
    WHERE s.tenant_id = tenant AND s.id = session AND s.user_id = owner FOR SHARE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    last := coalesce(source.last_position, source.message_count);
    IF up_to > last THEN
        RAISE EXCEPTION 'the session ends before this position' USING ERRCODE = 'BC021';
    END IF;
    last := coalesce(up_to, last);
    SELECT count(*), sum(m.size) INTO messages_copied, bytes_copied
    FROM (
        SELECT octet_length(coalesce(m.parts, m.content)) + coalesce(octet_length(m.metadata), 0)
            + coalesce(octet_length(m.item_members), 0) AS size
        FROM messages m
        WHERE m.tenant_id = tenant AND m.session_id = session AND m.position <= last
        ORDER BY m.position LIMIT most_messages + 1
    ) AS m;
    IF messages_copied > most_messages OR bytes_copied > most_bytes THEN
        RAISE EXCEPTION 'there is too much to copy' USING ERRCODE = 'BC022';
    END IF;
    INSERT INTO chat_sessions (
        tenant_id, id, user_id, title, message_count, last_position, metadata, metadata_tags,
        created_by, forked_from_session, forked_from_position)
    VALUES (
        tenant, fork, owner, source.title, messages_copied, nullif(last, messages_copied),
        source.metadata, source.metadata_tags, creator, session, last);
    INSERT INTO messages (
        tenant_id, id, session_id, position, role, content, parts, metadata, client_id,
        client_digest, item_id, item_members, is_item, status, created_by, created_at, updated_at)
    SELECT
        m.tenant_id,
        (stamp || '7' || left(md5(fork::text || m.id::text), 3)
            || '8' || right(md5(fork::text || m.id::text), 15))::uuid,
        fork, m.position, m.role, m.content, m.parts, m.metadata, m.client_id, m.client_digest,
        m.item_id, m.item_members, m.is_item, m.status, m.created_by, m.created_at, m.updated_at
    FROM messages m
    WHERE m.tenant_id = tenant AND m.session_id = session AND m.position <= last;
    PERFORM check_write(tenant, owner, not_after);
    RETURN QUERY SELECT * FROM find_session(tenant, owner, fork);
END $$;
"""
