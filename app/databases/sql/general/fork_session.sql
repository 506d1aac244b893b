-- Copies a session, as `fork`, with its messages up to the position `up_to`; NULL: with all of them.
-- No row is returned where the session is not this owner's. What is sealed has to be sealed again for
-- its new place, which the service does.
--
-- The session is locked against changes, so that the copy is one state of it. What it would copy is
-- measured first, from the rows' heads, without their texts.
--
-- A message's new id is made of the fork's id, whose first 48 bits are the time, and of a digest of
-- both ids. Nothing in it is random, because Citus copies rows within a shard only by what is not.
CREATE OR REPLACE FUNCTION fork_session(
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
    is_sealed boolean;
    stamp constant text := left(replace(fork::text, '-', ''), 12);
BEGIN
    EXECUTE format('SET LOCAL app.tenant_id = %L', tenant);
    PERFORM FROM owners o WHERE o.tenant_id = tenant AND o.user_id = owner FOR KEY SHARE;
    SELECT s.title, s.message_count, s.last_position, s.metadata, s.metadata_tags, s.sealed
    INTO source
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
    SELECT count(*), sum(m.size), bool_or(m.sealed) INTO messages_copied, bytes_copied, is_sealed
    FROM (
        SELECT octet_length(coalesce(m.parts, m.content)) + coalesce(octet_length(m.metadata), 0)
            + coalesce(octet_length(m.item_members), 0) AS size, m.sealed IS NOT NULL AS sealed
        FROM messages m
        WHERE m.tenant_id = tenant AND m.session_id = session AND m.position <= last
        ORDER BY m.position LIMIT most_messages + 1
    ) AS m;
    IF messages_copied > most_messages OR bytes_copied > most_bytes THEN
        RAISE EXCEPTION 'there is too much to copy' USING ERRCODE = 'BC022';
    END IF;
    IF is_sealed OR source.sealed IS NOT NULL THEN
        RAISE EXCEPTION 'who has the key copies what is sealed' USING ERRCODE = 'BC042';
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
