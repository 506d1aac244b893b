-- Deletes up to `rows` messages or idempotency keys of some closed owners, and the sessions that are
-- empty then, and adds their numbers to each owner's, so that a receipt's counts are what was deleted
-- and nobody's choice. It returns what it deleted, and `remaining`: the owners who have a row yet.
--
-- The owners are locked in the order of their ids, and then the sessions, so that no message is
-- appended that would not be counted and two relays with the same owners wait for each other in one
-- order. `remaining` comes from a SELECT: a DELETE that finds nothing proves nothing, since
-- somebody else may be deleting the same rows.
--
-- Keys go first: deleting a session would delete all of its keys at once. It takes as many as hold
-- 64 KiB for each row of the batch, and at least one however large: a stored answer may be ten
-- megabytes. Then come the next sessions, as many as hold at most `rows`, and at least one. Whatever
-- message_count says, it deletes by key, never more than the batch.
--
-- A session too large for a batch is the only one in it, and comes back as `at_session` with the
-- position up to which it is empty. Whoever hands both in again saves reading dead index entries.
--
-- The LATERALs stay within one tenant, so within one shard.
CREATE OR REPLACE FUNCTION erase_rows(
    tenant uuid, subjects uuid[], rows integer,
    INOUT at_session uuid, INOUT at_position bigint,
    OUT deleted_sessions bigint, OUT deleted_messages bigint, OUT remaining uuid[]
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    subject uuid;
    taken uuid[];
    deleted_keys bigint;
    last_position bigint;
BEGIN
    FOR subject IN
        SELECT o.user_id FROM owners o
        WHERE o.tenant_id = tenant AND o.user_id = ANY (subjects)
        ORDER BY o.user_id FOR NO KEY UPDATE
    LOOP
        PERFORM check_closed(tenant, subject);
    END LOOP;
    deleted_sessions := 0;
    deleted_messages := 0;

    WITH first AS (
        SELECT k.user_id, k.key, k.size
        FROM owners o CROSS JOIN LATERAL (
            SELECT x.user_id, x.key,
                   coalesce(octet_length(coalesce(x.answer, x.sealed)), 0) AS size
            FROM general_idempotency_keys x
            WHERE x.tenant_id = tenant AND x.user_id = o.user_id ORDER BY x.key LIMIT rows) AS k
        WHERE o.tenant_id = tenant AND o.user_id = ANY (subjects)
        ORDER BY k.user_id, k.key LIMIT rows
    ), next AS MATERIALIZED (
        SELECT first.user_id, first.key, row_number() OVER so_far AS place,
               sum(first.size) OVER so_far AS total
        FROM first WINDOW so_far AS (ORDER BY first.user_id, first.key)
    )
    DELETE FROM general_idempotency_keys k USING next
    WHERE k.tenant_id = tenant AND k.user_id = next.user_id AND k.key = next.key
    AND (next.total <= rows * 65536::bigint OR next.place = 1);
    GET DIAGNOSTICS deleted_keys = ROW_COUNT;

    IF deleted_keys = 0 THEN
        WITH first AS (
            SELECT s.id, s.user_id, s.message_count
            FROM owners o CROSS JOIN LATERAL (
                SELECT x.id, x.user_id, x.message_count FROM chat_sessions x
                WHERE x.tenant_id = tenant AND x.user_id = o.user_id ORDER BY x.id LIMIT rows) AS s
            WHERE o.tenant_id = tenant AND o.user_id = ANY (subjects)
            ORDER BY s.user_id, s.id LIMIT rows
        ), next AS MATERIALIZED (
            SELECT first.id, row_number() OVER so_far AS place,
                   sum(first.message_count + 1) OVER so_far AS total
            FROM first WINDOW so_far AS (ORDER BY first.user_id, first.id)
        )
        SELECT array_agg(locked.id) INTO taken
        FROM (
            SELECT s.id FROM chat_sessions s JOIN next ON next.id = s.id
            WHERE s.tenant_id = tenant AND s.user_id = ANY (subjects)
            AND (next.total <= rows OR next.place = 1)
            ORDER BY s.id FOR UPDATE OF s) AS locked;

        WITH doomed AS MATERIALIZED (
            SELECT m.id, m.position, s.user_id
            FROM chat_sessions s CROSS JOIN LATERAL (
                SELECT x.id, x.position FROM messages x
                WHERE x.tenant_id = tenant AND x.session_id = s.id
                AND x.position > CASE WHEN s.id = at_session THEN at_position ELSE 0 END
                ORDER BY x.position LIMIT rows) AS m
            WHERE s.tenant_id = tenant AND s.id = ANY (taken)
            LIMIT rows
        ), gone AS (
            DELETE FROM messages m USING doomed WHERE m.tenant_id = tenant AND m.id = doomed.id
            RETURNING doomed.user_id, doomed.position
        ), counted AS (
            SELECT gone.user_id, count(*) AS number, max(gone.position) AS last
            FROM gone GROUP BY gone.user_id
        ), noted AS (
            UPDATE owners o SET messages = o.messages + counted.number FROM counted
            WHERE o.tenant_id = tenant AND o.user_id = counted.user_id
        )
        SELECT coalesce(sum(counted.number), 0), max(counted.last)
        INTO deleted_messages, last_position FROM counted;
    END IF;

    at_session := NULL;
    at_position := NULL;
    IF deleted_messages = rows AND cardinality(taken) = 1 THEN
        at_session := taken[1];
        at_position := last_position;
    ELSIF taken IS NOT NULL THEN
        WITH gone AS (
            DELETE FROM chat_sessions s
            WHERE s.tenant_id = tenant AND s.user_id = ANY (subjects) AND s.id = ANY (taken)
            AND NOT EXISTS (
                SELECT FROM messages m WHERE m.tenant_id = tenant AND m.session_id = s.id)
            RETURNING s.user_id
        ), counted AS (
            SELECT gone.user_id, count(*) AS number FROM gone GROUP BY gone.user_id
        ), noted AS (
            UPDATE owners o SET chat_sessions = o.chat_sessions + counted.number FROM counted
            WHERE o.tenant_id = tenant AND o.user_id = counted.user_id
        )
        SELECT coalesce(sum(counted.number), 0) INTO deleted_sessions FROM counted;
    END IF;

    remaining := ARRAY(
        SELECT o.user_id FROM owners o
        WHERE o.tenant_id = tenant AND o.user_id = ANY (subjects)
        AND (EXISTS (SELECT FROM chat_sessions s
                     WHERE s.tenant_id = tenant AND s.user_id = o.user_id)
             OR EXISTS (SELECT FROM general_idempotency_keys k
                        WHERE k.tenant_id = tenant AND k.user_id = o.user_id))
        ORDER BY o.user_id);
END $$;
