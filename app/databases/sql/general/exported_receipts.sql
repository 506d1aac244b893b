-- Returns the chain of receipts in its order, a page at a time.
CREATE OR REPLACE FUNCTION exported_receipts(after bigint, page integer) RETURNS SETOF erasure_receipts
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT * FROM erasure_receipts WHERE seq > after ORDER BY seq LIMIT page
$$;
