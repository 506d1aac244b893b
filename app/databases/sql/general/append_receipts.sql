-- Appends the receipts of some erasures to the chain, as append_receipt_of does with each, in one
-- transaction: the first one locks the chain for all of them. Returns the receipts that are there
-- then, new or not; none of an owner who is not closed.
CREATE OR REPLACE FUNCTION append_receipts(tenant uuid, subjects uuid[], keys jsonb)
RETURNS SETOF erasure_receipts
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    subject uuid;
BEGIN
    FOR subject IN SELECT one FROM unnest(subjects) AS one ORDER BY one LOOP
        RETURN QUERY SELECT * FROM append_receipt_of(tenant, subject,
            coalesce(keys -> subject::text, '{}'));
    END LOOP;
END $$;
