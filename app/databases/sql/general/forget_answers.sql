-- Empties the stored answers that quote messages of a session which are changed or deleted; their
-- idempotency keys stay used until they expire, so that no late retry brings back what was said.
--
-- It runs in the transaction that has locked the session, as does whoever stores an answer about it:
-- there is none that this does not see. Keys that others have locked are passed by: only who deletes
-- them does, because they have expired or their owner is gone, and might wait for the session in turn.
CREATE OR REPLACE FUNCTION forget_answers(tenant uuid, session uuid, first bigint, last bigint)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    WITH quoting AS MATERIALIZED (
        SELECT k.user_id, k.key FROM general_idempotency_keys k
        WHERE k.tenant_id = tenant AND k.about_id = session
        AND (k.last_position IS NULL OR (k.last_position >= first AND k.first_position <= last))
        AND (k.answer IS NOT NULL OR k.sealed IS NOT NULL)
        FOR UPDATE OF k SKIP LOCKED
    )
    UPDATE general_idempotency_keys k SET answer = NULL, fingerprint = NULL, sealed = NULL
    FROM quoting q
    WHERE k.tenant_id = tenant AND k.user_id = q.user_id AND k.key = q.key;
END $$;
