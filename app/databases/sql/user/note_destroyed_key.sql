-- Trigger on wrapped_keys: in the commit that deletes a person, and with them their key, their entry
-- in the ledger says when the key was destroyed, and from when on no backup holds both it and what
-- it sealed. It is told once: a person whom a restore had brought back was deleted before. Of rows
-- that are plain yet, only their erasure knows when they are gone (`settle_erasures`).
CREATE OR REPLACE FUNCTION note_destroyed_key() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM users u WHERE u.tenant_id = OLD.tenant_id AND u.id = OLD.user_id
    ) THEN
        UPDATE subject_ledger l SET key_destroyed_at = now(), plain_until = OLD.plain_until,
            sealed = OLD.plain_until IS NULL
                OR OLD.plain_until <= now() - make_interval(days => s.general_backup_kept_days),
            unrecoverable_after = CASE WHEN OLD.plain_until IS DISTINCT FROM 'infinity' THEN
                greatest(now() + make_interval(days => s.user_backup_kept_days),
                    OLD.plain_until + make_interval(days => s.general_backup_kept_days)) END
        FROM sealing s
        WHERE l.tenant_id = OLD.tenant_id AND l.user_id = OLD.user_id
        AND l.key_destroyed_at IS NULL;
    END IF;
    RETURN NULL;
END $$;
