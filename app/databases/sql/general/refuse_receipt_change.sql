-- Trigger on erasure_receipts: a receipt is never changed or removed.
CREATE OR REPLACE FUNCTION refuse_receipt_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a receipt is for ever' USING ERRCODE = '23514';
END $$;
