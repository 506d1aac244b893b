"""Sessions and stored answers are read and written with what is sealed of them."""

from __future__ import annotations

from alembic import op

revision = "g0038"
down_revision = "g0037"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for statement in (GET_SESSION, BEGIN_SESSION, FIND_OR_BEGIN_SESSION, WRITE_ANSWER):
        op.execute(statement)


def downgrade() -> None:
    for name in ("write_answer", "find_or_begin_session", "begin_session", "get_session"):
        op.execute(f"DROP FUNCTION {name}")


GET_SESSION = """
CREATE FUNCTION get_session(tenant uuid, owner uuid, session uuid)
RETURNS TABLE (
    id uuid, title varchar, message_count bigint, last_position bigint, version bigint,
    metadata text, external_id varchar, expires_at timestamptz, created_by uuid,
    forked_from_session uuid, forked_from_position bigint, created_at timestamptz,
    updated_at timestamptz, changed_minute timestamptz, sealed bytea
) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SET LOCAL app.tenant_id = %L', tenant);
    RETURN QUERY
        SELECT s.id, s.title, s.message_count, s.last_position, s.version, s.metadata,
            s.external_id, s.expires_at, s.created_by, s.forked_from_session,
            s.forked_from_position, s.created_at, s.updated_at, s.changed_minute,
            s.sealed
        FROM chat_sessions s
        WHERE s.tenant_id = tenant AND s.id = session AND s.user_id = owner;
END $$
"""

BEGIN_SESSION = """
CREATE FUNCTION begin_session(
    tenant uuid, owner uuid, session uuid, name text, pairs text, tags bytea[], external text,
    expires timestamptz, creator uuid, seal bytea, seal_key uuid, not_after timestamptz
) RETURNS TABLE (
    id uuid, title varchar, message_count bigint, last_position bigint, version bigint,
    metadata text, external_id varchar, expires_at timestamptz, created_by uuid,
    forked_from_session uuid, forked_from_position bigint, created_at timestamptz,
    updated_at timestamptz, changed_minute timestamptz, sealed bytea
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
            created_by, sealed)
        VALUES (tenant, session, owner, name, pairs, tags, external, expires, creator, seal)
        RETURNING s.id, s.title, s.message_count, s.last_position, s.version, s.metadata,
            s.external_id, s.expires_at, s.created_by, s.forked_from_session,
            s.forked_from_position, s.created_at, s.updated_at, s.changed_minute,
            s.sealed;
    PERFORM check_write_under(tenant, owner, seal_key, not_after);
END $$
"""

FIND_OR_BEGIN_SESSION = """
CREATE FUNCTION find_or_begin_session(
    tenant uuid, owner uuid, session uuid, name text, pairs text, tags bytea[], external text,
    expires timestamptz, creator uuid, seal bytea, seal_key uuid, not_after timestamptz
) RETURNS TABLE (
    id uuid, title varchar, message_count bigint, last_position bigint, version bigint,
    metadata text, external_id varchar, expires_at timestamptz, created_by uuid,
    forked_from_session uuid, forked_from_position bigint, created_at timestamptz,
    updated_at timestamptz, changed_minute timestamptz, sealed bytea
) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SET LOCAL app.tenant_id = %L', tenant);
    LOOP
        RETURN QUERY
            SELECT s.id, s.title, s.message_count, s.last_position, s.version, s.metadata,
                s.external_id, s.expires_at, s.created_by, s.forked_from_session,
                s.forked_from_position, s.created_at, s.updated_at, s.changed_minute,
                s.sealed
            FROM chat_sessions s
            WHERE s.tenant_id = tenant AND s.user_id = owner AND s.external_id = external;
        IF FOUND THEN
            RETURN;
        END IF;
        BEGIN
            RETURN QUERY
                SELECT * FROM begin_session(
                    tenant, owner, session, name, pairs, tags, external, expires, creator,
                    seal, seal_key, not_after);
            RETURN;
        EXCEPTION WHEN unique_violation THEN
            NULL;
        END;
    END LOOP;
END $$
"""

WRITE_ANSWER = """
CREATE FUNCTION write_answer(
    tenant uuid, owner uuid, key text, fingerprint text, answer bytea, about uuid,
    first_position bigint, last_position bigint, kept interval, seal bytea, seal_key uuid,
    not_after timestamptz
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO general_idempotency_keys (tenant_id, user_id, key, fingerprint, answer, about_id,
        first_position, last_position, expires_at, sealed)
    VALUES (tenant, owner, key, fingerprint, answer, about, first_position, last_position,
        now() + kept, seal)
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM check_write_under(tenant, owner, seal_key, not_after);
    RETURN true;
END $$
"""
