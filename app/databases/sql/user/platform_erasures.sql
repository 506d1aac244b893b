-- The version before platform_erasures_by_time, which paged by id; it goes when no process calls it
-- any more.
CREATE OR REPLACE FUNCTION platform_erasures(after uuid, page integer)
RETURNS SETOF subject_ledger LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT * FROM subject_ledger
    WHERE state = 'deleted' AND (after IS NULL OR user_id > after) ORDER BY user_id LIMIT page
$$;
