-- Has a relay deliver once more whether a user is held, past the revision that the general database
-- has seen. Until then the hold is in force no more. It acts in the session's own tenant only.
CREATE OR REPLACE FUNCTION mend_hold(tenant uuid, subject uuid, seen bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF tenant IS DISTINCT FROM nullif(current_setting('app.tenant_id', true), '')::uuid THEN
        RAISE EXCEPTION 'only entries of the own tenant are mended' USING ERRCODE = '42501';
    END IF;
    UPDATE holds h SET in_force_since = NULL WHERE h.tenant_id = tenant AND h.user_id = subject;
    UPDATE subject_ledger l
    SET hold_rev = greatest(l.hold_rev, seen) + 1, hold_changed_at = now()
    WHERE l.tenant_id = tenant AND l.user_id = subject;
END $$;
