-- Counts those who have conversations and no key: nothing of theirs was ever sealed.
CREATE OR REPLACE FUNCTION owners_never_sealed() RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT count(*) FROM owners o WHERE o.key_id IS NULL AND o.state = 'open'
$$;
