-- Tells whether what is written is sealed, and whether nobody writes plain rows any more.
CREATE OR REPLACE FUNCTION sealing_state() RETURNS TABLE (is_on boolean, is_settled boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT s.is_on, s.is_on AND s.sealed_after <= now() FROM sealing s
$$;
