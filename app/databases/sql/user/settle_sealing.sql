-- Says that nobody writes plain rows any more: who comes from now on is sealed from the first row on.
CREATE OR REPLACE FUNCTION settle_sealing() RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE sealing SET sealed_after = now()
    WHERE is_on AND (sealed_after IS NULL OR sealed_after > now())
$$;
