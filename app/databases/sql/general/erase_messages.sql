-- What the version before calls; see erase_rows.
--
-- Deletes up to `rows` messages of some sessions of a closed owner, past the position `after`, and adds
-- their number to the owner's, so that a receipt's count is what was deleted and nobody's choice. It
-- runs in the transaction that has locked the sessions.
--
-- It deletes by key, never more than the batch, whatever message_count says. `after` skips what earlier
-- batches have deleted from the same session, whose dead index entries are still read. The LATERAL
-- stays within one tenant, so within one shard.
CREATE OR REPLACE FUNCTION erase_messages(
    tenant uuid, subject uuid, sessions uuid[], after bigint, rows integer,
    OUT deleted bigint, OUT last_position bigint
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM check_closed(tenant, subject);
    WITH doomed AS MATERIALIZED (
        SELECT m.id, m.position
        FROM chat_sessions s CROSS JOIN LATERAL (
            SELECT x.id, x.position FROM messages x
            WHERE x.tenant_id = tenant AND x.session_id = s.id AND x.position > after
            ORDER BY x.position LIMIT rows) AS m
        WHERE s.tenant_id = tenant AND s.user_id = subject AND s.id = ANY (sessions)
        LIMIT rows
    ), gone AS (
        DELETE FROM messages m USING doomed WHERE m.tenant_id = tenant AND m.id = doomed.id
        RETURNING doomed.position
    )
    SELECT count(*), max(gone.position) INTO deleted, last_position FROM gone;
    UPDATE owners o SET messages = o.messages + deleted
    WHERE o.tenant_id = tenant AND o.user_id = subject AND deleted > 0;
END $$;
