-- Counts the people with a key: whose rows are sealed from the first one on, whose were converted,
-- and who has plain ones yet.
CREATE OR REPLACE FUNCTION people_sealed()
RETURNS TABLE (sealed bigint, converted bigint, plain bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT count(*) FILTER (WHERE plain_until IS NULL),
        count(*) FILTER (WHERE plain_until < 'infinity'),
        count(*) FILTER (WHERE plain_until = 'infinity')
    FROM wrapped_keys
$$;
