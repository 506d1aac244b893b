-- Raises unless the owner was closed by an erasure, and is not held. What deletes on the relay's behalf
-- asks it first, so that a living owner loses nothing to a relay that skips a step.
CREATE OR REPLACE FUNCTION check_closed(tenant uuid, subject uuid)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    is_held boolean;
BEGIN
    SELECT o.held INTO is_held FROM owners o
    WHERE o.tenant_id = tenant AND o.user_id = subject
    AND o.state <> 'open' AND o.closed_at IS NOT NULL;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'only what a closed owner has is erased' USING ERRCODE = '23514';
    END IF;
    IF is_held THEN
        RAISE EXCEPTION 'the owner is held' USING ERRCODE = 'BC003';
    END IF;
END $$;
