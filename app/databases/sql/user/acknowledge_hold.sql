-- Notes that a hold is in force, or its lift: only of the revision that was delivered, which is false
-- where there is a later one. An erasure that was put off for the hold is due at once.
--
-- The hold is locked before the ledger, as by whoever places or lifts one.
CREATE OR REPLACE FUNCTION acknowledge_hold(tenant uuid, subject uuid, delivered bigint)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM FROM holds h WHERE h.tenant_id = tenant AND h.user_id = subject FOR UPDATE;
    UPDATE subject_ledger l
    SET hold_delivered_rev = delivered, not_before = least(l.not_before, now())
    WHERE l.tenant_id = tenant AND l.user_id = subject
    AND l.hold_rev = delivered AND l.hold_delivered_rev < delivered;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    UPDATE holds h SET in_force_since = now()
    WHERE h.tenant_id = tenant AND h.user_id = subject AND h.in_force_since IS NULL;
    RETURN true;
END $$;
