-- Raises unless the owner may still write at this moment. It is the last act of every write on their
-- behalf, when all its locks are held. `not_after` is when the look-up of the caller has grown too
-- old, by this server's clock: a block committed later than that look-up was not seen by it.
CREATE OR REPLACE FUNCTION check_write(tenant uuid, owner uuid, not_after timestamptz)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF clock_timestamp() > not_after THEN
        RAISE EXCEPTION 'the caller was looked up too long ago' USING ERRCODE = 'BC001';
    END IF;
    PERFORM FROM owners o WHERE o.tenant_id = tenant AND o.user_id = owner AND o.state = 'open';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the owner is closed: deleted, or about to be' USING ERRCODE = 'BC002';
    END IF;
END $$;
