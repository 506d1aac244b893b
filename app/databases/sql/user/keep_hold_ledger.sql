-- Trigger on holds: counts in the ledger that a hold was placed or lifted, for a relay to deliver. A
-- hold that is gone leaves no row of its own to tell of it. Who listens is notified.
CREATE OR REPLACE FUNCTION keep_hold_ledger() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    hold record := NEW;
BEGIN
    IF TG_OP = 'DELETE' THEN
        hold := OLD;
    END IF;
    INSERT INTO subject_ledger AS l (tenant_id, user_id, state, rev, delivered_rev, hold_rev,
                                     hold_changed_at)
    VALUES (hold.tenant_id, hold.user_id, 'present', 1, 1, 1, now())
    ON CONFLICT (tenant_id, user_id) DO UPDATE
    SET hold_rev = l.hold_rev + 1, hold_changed_at = now();
    PERFORM pg_notify('bicameral_erasures', '');
    RETURN NULL;
END $$;
