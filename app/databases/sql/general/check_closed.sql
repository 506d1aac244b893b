-- Raises unless the owner was closed by an erasure. What deletes on the relay's behalf asks it first, so
-- that a living owner loses nothing to a relay that skips a step.
CREATE OR REPLACE FUNCTION check_closed(tenant uuid, subject uuid)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM FROM owners o
    WHERE o.tenant_id = tenant AND o.user_id = subject
    AND o.state <> 'open' AND o.closed_at IS NOT NULL;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'only what a closed owner has is erased' USING ERRCODE = '23514';
    END IF;
END $$;
