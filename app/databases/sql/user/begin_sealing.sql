-- Says that from now on whatever is written is sealed, and that this master key is in use. Those
-- who were looked up before may write plain rows for as long as `settling`; where that is NULL, until
-- settle_sealing is called. True if it was off.
CREATE OR REPLACE FUNCTION begin_sealing(settling interval) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH begun AS (
        UPDATE sealing SET is_on = true, sealed_after = now() + settling
        WHERE NOT is_on RETURNING 1
    )
    SELECT EXISTS (SELECT FROM begun)
$$;
