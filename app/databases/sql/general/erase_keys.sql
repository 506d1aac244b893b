-- What the version before calls; see erase_rows.
--
-- Deletes some of a closed owner's idempotency keys and returns how many. Stored answers repeat what was
-- said. It takes as many keys as hold at most 64 KiB for each row of the batch, and at least one
-- however large: an answer may be ten megabytes.
CREATE OR REPLACE FUNCTION erase_keys(tenant uuid, subject uuid, rows integer)
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    deleted bigint;
BEGIN
    WITH next AS MATERIALIZED (
        SELECT first.key, row_number() OVER (ORDER BY first.key) AS place,
               sum(first.size) OVER (ORDER BY first.key) AS total
        FROM (SELECT k.key, octet_length(coalesce(k.answer, k.sealed)) AS size
              FROM general_idempotency_keys k
              WHERE k.tenant_id = tenant AND k.user_id = subject
              ORDER BY k.key LIMIT rows) AS first
    )
    DELETE FROM general_idempotency_keys k USING next
    WHERE k.tenant_id = tenant AND k.user_id = subject AND k.key = next.key
    AND (next.total <= rows * 65536::bigint OR next.place = 1);
    GET DIAGNOSTICS deleted = ROW_COUNT;
    IF deleted > 0 THEN
        PERFORM check_closed(tenant, subject);
    END IF;
    RETURN deleted;
END $$;
