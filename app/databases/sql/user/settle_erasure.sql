-- Tells what a receipt says of a person's key. For rows that were plain to the end, `now()` is when
-- the last of them has been deleted: from here on their backups count. Told once.
CREATE OR REPLACE FUNCTION settle_erasure(tenant uuid, subject uuid)
RETURNS TABLE (sealed boolean, key_destroyed_at timestamptz, unrecoverable_after timestamptz)
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE subject_ledger l SET unrecoverable_after = greatest(
        l.key_destroyed_at + make_interval(days => s.user_backup_kept_days),
        now() + make_interval(days => s.general_backup_kept_days))
    FROM sealing s
    WHERE l.tenant_id = tenant AND l.user_id = subject
    AND l.key_destroyed_at IS NOT NULL AND l.unrecoverable_after IS NULL;
    SELECT l.sealed, l.key_destroyed_at, l.unrecoverable_after FROM subject_ledger l
    WHERE l.tenant_id = tenant AND l.user_id = subject;
$$;
