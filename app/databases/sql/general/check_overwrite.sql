-- Raises where the owner is held. Everything that deletes or overwrites what they said calls it
-- before COMMIT; what only adds does not.
--
-- The lock is taken whatever the flag says, and the flag is read of the row that was locked. A relay
-- sets the flag, and then waits for all such locks: who read before that has ended, and who reads
-- after it is refused.
CREATE OR REPLACE FUNCTION check_overwrite(tenant uuid, owner uuid)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    is_held boolean;
BEGIN
    SELECT o.held INTO is_held FROM owners o
    WHERE o.tenant_id = tenant AND o.user_id = owner FOR KEY SHARE;
    IF is_held THEN
        RAISE EXCEPTION 'the owner is held' USING ERRCODE = 'BC003';
    END IF;
END $$;
