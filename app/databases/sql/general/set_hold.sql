-- Sets or clears the flag that an owner is held, and returns the revision of the owner's flag. The
-- flag is as of the latest revision that came here: a relay that comes late with an earlier one
-- changes nothing, and sees by the answer that it does. An owner who was never seen here is made.
CREATE OR REPLACE FUNCTION set_hold(tenant uuid, subject uuid, is_held boolean, new_rev bigint)
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    present_rev bigint;
BEGIN
    INSERT INTO owners (tenant_id, user_id) VALUES (tenant, subject) ON CONFLICT DO NOTHING;
    UPDATE owners o SET held = is_held, hold_rev = new_rev
    WHERE o.tenant_id = tenant AND o.user_id = subject AND o.hold_rev < new_rev;
    SELECT o.hold_rev INTO present_rev FROM owners o
    WHERE o.tenant_id = tenant AND o.user_id = subject;
    RETURN present_rev;
END $$;
