-- Counts the holds that are not in force yet, and the lifts that are not, for metrics.
CREATE OR REPLACE FUNCTION hold_backlog()
RETURNS TABLE (pending bigint, oldest_pending_seconds double precision)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT count(*), coalesce(extract(epoch FROM now() - min(l.hold_changed_at)), 0)
    FROM subject_ledger l WHERE l.hold_delivered_rev < l.hold_rev
$$;
