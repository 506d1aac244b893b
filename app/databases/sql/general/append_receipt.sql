-- What the version before calls; see append_receipts. It tells nothing of a key.
CREATE OR REPLACE FUNCTION append_receipt(tenant uuid, subject uuid) RETURNS SETOF erasure_receipts
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT * FROM append_receipt_of(tenant, subject, '{}')
$$;
