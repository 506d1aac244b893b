-- What the version before calls; see write_messages.
CREATE OR REPLACE FUNCTION store_messages(
    tenant uuid, owner uuid, session uuid, ids uuid[], roles text[], contents text[],
    part_texts text[], metadata_texts text[], statuses text[], client_ids text[], digests bytea[],
    author uuid, expected_version bigint, expected_at timestamptz, not_after timestamptz
) RETURNS TABLE (
    id uuid, "position" bigint, role varchar, content text, parts text, metadata text,
    client_id varchar, status varchar, created_by uuid, created_at timestamptz,
    updated_at timestamptz, ordinal bigint, is_same boolean, version bigint
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
            created_at, updated_at, ordinal, is_same
        IN
            SELECT m.id, m.position, m.role, CASE WHEN m.parts IS NULL THEN m.content END, m.parts,
                m.metadata, m.client_id, m.status, m.created_by, m.created_at, m.updated_at,
                sent.ordinal, m.client_digest IS NOT DISTINCT FROM sent.digest
            FROM unnest(client_ids, digests) WITH ORDINALITY AS sent (id, digest, ordinal)
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
                metadata, client_id, client_digest, status, created_by, created_at)
            SELECT s.tenant_id, new.id, s.id, "position" + new.ordinal - 1
                    - CASE WHEN known = '{}' THEN 0
                        ELSE (SELECT count(*) FROM unnest(known) AS k WHERE k < new.ordinal) END,
                new.role, new.content, new.parts, new.metadata, new.client_id, new.digest,
                new.status, author, store_messages.updated_at
            FROM chat_sessions s
            CROSS JOIN unnest(ids, roles, contents, part_texts, metadata_texts, client_ids,
                digests, statuses) WITH ORDINALITY
                AS new (id, role, content, parts, metadata, client_id, digest, status, ordinal)
            WHERE s.tenant_id = tenant AND s.id = session AND new.ordinal <> ALL (known);
            PERFORM check_write(tenant, owner, not_after);
            id := NULL;
            RETURN NEXT;
            RETURN;
        END IF;
    END IF;
    RETURN QUERY
        SELECT NULL::uuid, NULL::bigint, NULL::varchar, NULL::text, NULL::text, NULL::text,
            NULL::varchar, NULL::varchar, NULL::uuid, NULL::timestamptz, s.updated_at,
            NULL::bigint, NULL::boolean, s.version
        FROM chat_sessions s
        WHERE s.tenant_id = tenant AND s.id = session AND s.user_id IS NOT DISTINCT FROM owner;
END $$;
