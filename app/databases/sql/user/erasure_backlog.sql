-- Counts the erasures that are pending, for metrics and health.
CREATE OR REPLACE FUNCTION erasure_backlog()
RETURNS TABLE (pending bigint, oldest_pending_seconds double precision, attempts_max integer)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT count(*), coalesce(extract(epoch FROM now() - min(changed_at)), 0),
           coalesce(max(attempts), 0)
    FROM subject_ledger WHERE delivered_rev < rev AND state = 'deleted'
$$;
