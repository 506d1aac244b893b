-- Tells what the receipts of some erasures say of the people's keys, as an object by their ids; nothing
-- of whoever had none. For rows that were plain to the end, `now()` is when the last of them has been
-- deleted: from here on their backups count. Told once.
CREATE OR REPLACE FUNCTION settle_erasures(tenant uuid, subjects uuid[]) RETURNS jsonb
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE subject_ledger l SET unrecoverable_after = greatest(
        l.key_destroyed_at + make_interval(days => s.user_backup_kept_days),
        now() + make_interval(days => s.general_backup_kept_days))
    FROM sealing s
    WHERE l.tenant_id = tenant AND l.user_id = ANY (subjects)
    AND l.key_destroyed_at IS NOT NULL AND l.unrecoverable_after IS NULL;
    SELECT coalesce(jsonb_object_agg(l.user_id, jsonb_build_object(
        'sealed', l.sealed, 'key_destroyed_at', l.key_destroyed_at,
        'unrecoverable_after', l.unrecoverable_after)), '{}')
    FROM subject_ledger l
    WHERE l.tenant_id = tenant AND l.user_id = ANY (subjects) AND l.key_destroyed_at IS NOT NULL;
$$;
