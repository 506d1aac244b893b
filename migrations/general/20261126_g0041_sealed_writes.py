"""Messages are written and edited with what is sealed of them."""

from __future__ import annotations

from alembic import op

revision = "g0041"
down_revision = "g0040"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for statement in (WRITE_MESSAGE, WRITE_MESSAGES, CHANGE_MESSAGE):
        op.execute(statement)


def downgrade() -> None:
    for name in ("change_message", "write_messages", "write_message"):
        op.execute(f"DROP FUNCTION {name}")


WRITE_MESSAGE = """
CREATE FUNCTION write_message(
    tenant uuid, owner uuid, session uuid, id uuid, role text, content text, parts text,
    metadata text, status text, author uuid, expected_version bigint, expected_at timestamptz,
    sealed bytea, sealed_size integer, seal_key uuid, not_after timestamptz
) RETURNS TABLE ("position" bigint, version bigint, updated_at timestamptz)
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SET LOCAL app.tenant_id = %L', tenant);
    UPDATE chat_sessions s
    SET message_count = s.message_count + 1, last_position = s.last_position + 1,
        version = s.version + 1, updated_at = now(), changed_minute = date_trunc('minute', now())
    WHERE s.tenant_id = tenant AND s.id = session AND s.user_id IS NOT DISTINCT FROM owner
    AND (expected_version IS NULL OR s.version = expected_version AND s.updated_at = expected_at)
    RETURNING coalesce(s.last_position, s.message_count), s.version, s.updated_at
    INTO "position", version, updated_at;
    IF FOUND THEN
        INSERT INTO messages (tenant_id, id, session_id, position, role, content, parts, metadata,
            status, created_by, created_at, sealed, sealed_size)
        VALUES (tenant, id, session, "position", role, content, parts, metadata,
            status, author, updated_at, sealed, sealed_size);
        PERFORM check_write_under(tenant, owner, seal_key, not_after);
        RETURN NEXT;
    ELSIF expected_version IS NOT NULL THEN
        RETURN QUERY
            SELECT NULL::bigint, s.version, s.updated_at FROM chat_sessions s
            WHERE s.tenant_id = tenant AND s.id = session AND s.user_id IS NOT DISTINCT FROM owner;
    END IF;
END $$
"""

WRITE_MESSAGES = """
CREATE FUNCTION write_messages(
    tenant uuid, owner uuid, session uuid, ids uuid[], roles text[], contents text[],
    part_texts text[], metadata_texts text[], statuses text[], client_ids text[], digests bytea[],
    plain_digests bytea[], author uuid, expected_version bigint, expected_at timestamptz,
    seals bytea[], seal_sizes integer[], seal_key uuid, not_after timestamptz
) RETURNS TABLE (
    id uuid, "position" bigint, role varchar, content text, parts text, metadata text,
    client_id varchar, status varchar, created_by uuid, created_at timestamptz,
    updated_at timestamptz, sealed bytea, ordinal bigint, is_same boolean, version bigint
) LANGUAGE plpgsql AS $$
DECLARE
    known bigint[] := '{}'; -- ordinals
    differs boolean := false;
    added bigint := cardinality(ids);
BEGIN
    EXECUTE format('SET LOCAL app.tenant_id = %L', tenant);
    IF client_ids IS NOT NULL THEN
        PERFORM FROM chat_sessions s
        WHERE s.tenant_id = tenant AND s.id = session AND s.user_id IS NOT DISTINCT FROM owner
        FOR NO KEY UPDATE;
        IF NOT FOUND THEN
            RETURN;
        END IF;
        FOR id, "position", role, content, parts, metadata, client_id, status, created_by,
            created_at, updated_at, sealed, ordinal, is_same
        IN
            SELECT m.id, m.position, m.role,
                CASE WHEN m.parts IS NULL AND m.sealed IS NULL THEN m.content END, m.parts,
                m.metadata, m.client_id, m.status, m.created_by, m.created_at, m.updated_at,
                m.sealed, sent.ordinal, m.client_digest IS NOT DISTINCT FROM
                    CASE WHEN m.sealed IS NULL THEN sent.plain_digest ELSE sent.digest END
            FROM unnest(client_ids, digests, plain_digests) WITH ORDINALITY
                AS sent (id, digest, plain_digest, ordinal)
            JOIN messages m ON m.client_id = sent.id
            WHERE m.tenant_id = tenant AND m.session_id = session
        LOOP
            RETURN NEXT;
            known := known || ordinal;
            differs := differs OR NOT is_same;
        END LOOP;
        added := added - cardinality(known);
    END IF;
    IF added > 0 AND NOT differs THEN
        UPDATE chat_sessions s
        SET message_count = s.message_count + added, last_position = s.last_position + added,
            version = s.version + 1, updated_at = now(),
            changed_minute = date_trunc('minute', now())
        WHERE s.tenant_id = tenant AND s.id = session AND s.user_id IS NOT DISTINCT FROM owner
        AND (expected_version IS NULL
            OR s.version = expected_version AND s.updated_at = expected_at)
        RETURNING coalesce(s.last_position, s.message_count) - added + 1, s.version, s.updated_at
        INTO "position", version, updated_at;
        IF FOUND THEN
            INSERT INTO messages (tenant_id, id, session_id, position, role, content, parts,
                metadata, client_id, client_digest, status, created_by, created_at, sealed,
                sealed_size)
            SELECT s.tenant_id, new.id, s.id, "position" + new.ordinal - 1
                    - CASE WHEN known = '{}' THEN 0
                        ELSE (SELECT count(*) FROM unnest(known) AS k WHERE k < new.ordinal) END,
                new.role, new.content, new.parts, new.metadata, new.client_id,
                CASE WHEN new.sealed IS NULL THEN new.plain_digest ELSE new.digest END, new.status,
                author, write_messages.updated_at, new.sealed, new.size
            FROM chat_sessions s
            CROSS JOIN unnest(ids, roles, contents, part_texts, metadata_texts, client_ids,
                digests, plain_digests, statuses, seals, seal_sizes) WITH ORDINALITY
                AS new (id, role, content, parts, metadata, client_id, digest, plain_digest, status,
                    sealed, size, ordinal)
            WHERE s.tenant_id = tenant AND s.id = session AND new.ordinal <> ALL (known);
            PERFORM check_write_under(tenant, owner, seal_key, not_after);
            id := NULL;
            sealed := NULL;
            RETURN NEXT;
            RETURN;
        END IF;
    END IF;
    RETURN QUERY
        SELECT NULL::uuid, NULL::bigint, NULL::varchar, NULL::text, NULL::text, NULL::text,
            NULL::varchar, NULL::varchar, NULL::uuid, NULL::timestamptz, s.updated_at,
            NULL::bytea, NULL::bigint, NULL::boolean, s.version
        FROM chat_sessions s
        WHERE s.tenant_id = tenant AND s.id = session AND s.user_id IS NOT DISTINCT FROM owner;
END $$
"""

CHANGE_MESSAGE = """
CREATE FUNCTION change_message(
    tenant uuid, owner uuid, session uuid, place bigint, expected_version bigint,
    expected_at timestamptz, any_role boolean, is_reworded boolean, has_content boolean,
    new_content text, new_parts text, has_metadata boolean, new_metadata text, new_status text,
    new_seal bytea, new_seal_size integer, new_digest bytea, seen_seal bytea, seen_at timestamptz,
    seal_key uuid, not_after timestamptz
) RETURNS TABLE (
    id uuid, "position" bigint, role varchar, content text, parts text, metadata text,
    client_id varchar, status varchar, created_by uuid, created_at timestamptz,
    updated_at timestamptz, sealed bytea, version bigint, changed_at timestamptz, refusal text
) LANGUAGE plpgsql AS $$
DECLARE
    head constant integer := 13; -- a version and a nonce, which no two have
BEGIN
    EXECUTE format('SET LOCAL app.tenant_id = %L', tenant);
    SELECT s.version, s.updated_at INTO version, changed_at FROM chat_sessions s
    WHERE s.tenant_id = tenant AND s.id = session AND s.user_id = owner FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT m.role, m.updated_at, substr(m.sealed, 1, head) INTO role, updated_at, sealed
    FROM messages m
    WHERE m.tenant_id = tenant AND m.session_id = session AND m.position = place;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    refusal := CASE
        WHEN role <> 'user' AND NOT any_role THEN 'role'
        WHEN (expected_version, expected_at) <> (version, changed_at) THEN 'changed'
        WHEN new_seal IS NOT NULL
            AND (seen_seal, seen_at) IS DISTINCT FROM (sealed, updated_at) THEN 'other'
        WHEN new_seal IS NULL AND sealed IS NOT NULL
            AND (has_content OR has_metadata) THEN 'other' END;
    IF sealed IS NOT NULL AND seal_key IS NULL THEN
        RAISE EXCEPTION 'who has the key changes what is sealed' USING ERRCODE = 'BC042';
    END IF;
    IF refusal IS NULL THEN
        PERFORM check_overwrite(tenant, owner);
        UPDATE chat_sessions s SET version = s.version + 1, updated_at = now(),
            changed_minute = date_trunc('minute', now())
        WHERE s.tenant_id = tenant AND s.id = session
        RETURNING s.version, s.updated_at INTO version, changed_at;
        UPDATE messages m SET
            sealed = coalesce(new_seal, m.sealed),
            sealed_size = coalesce(new_seal_size, m.sealed_size),
            client_digest = CASE WHEN new_seal IS NULL THEN m.client_digest ELSE new_digest END,
            content = CASE WHEN has_content THEN new_content ELSE m.content END,
            parts = CASE WHEN has_content THEN new_parts ELSE m.parts END,
            item_members = CASE WHEN NOT has_content THEN m.item_members END,
            is_item = m.is_item AND NOT is_reworded,
            metadata = CASE WHEN has_metadata THEN new_metadata ELSE m.metadata END,
            status = coalesce(new_status, m.status), updated_at = changed_at
        WHERE m.tenant_id = tenant AND m.session_id = session AND m.position = place
        RETURNING m.id, m.position,
            CASE WHEN m.parts IS NULL AND m.sealed IS NULL THEN m.content END, m.parts, m.metadata,
            m.client_id, m.status, m.created_by, m.created_at, m.updated_at, m.sealed
        INTO id, "position", content, parts, metadata, client_id, status, created_by, created_at,
            updated_at, sealed;
        PERFORM forget_answers(tenant, session, place, place);
        PERFORM check_write_under(
            tenant, owner, CASE WHEN new_seal IS NOT NULL THEN seal_key END, not_after);
    END IF;
    RETURN NEXT;
END $$
"""
