-- Appends the receipt of an erasure for a relay of the version before, which tells of no key.
CREATE OR REPLACE FUNCTION append_receipt(tenant uuid, subject uuid) RETURNS SETOF erasure_receipts
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT * FROM append_receipt_of(tenant, subject, '{}')
$$;
