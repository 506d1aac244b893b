-- Appends many messages as write_message appends one; with arrays, a single message would cost a third
-- more. An array is NULL where no message has such a thing. They are selected from the session's row,
-- which names the tenant: a sharded database takes no INSERT … SELECT from what is no table.
--
-- A message whose client id the session has already is not stored again. Each such message is a row
-- of the result, as it is now, with its ordinal among those sent, and whether it was sent alike; if
-- one was not, nothing is stored; a sealed one is compared by `digests`, another by `plain_digests`.
-- The session's lock is taken before they are looked up.
--
-- The last row is the session's, with its version and its `updated_at`, and with the position of the
-- first message that was stored; NULL if there was none, or the session was not in the expected state.
CREATE OR REPLACE FUNCTION write_messages(
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
END $$;
