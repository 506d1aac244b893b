-- Notes for how long backups of the two databases are kept: an erasure says from when on nothing of
-- a person's can be recovered. The process that was started last decides.
CREATE OR REPLACE FUNCTION keep_backup_days(user_days integer, general_days integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF current_setting('transaction_read_only') = 'off' THEN
        UPDATE sealing SET user_backup_kept_days = user_days,
            general_backup_kept_days = general_days
        WHERE (user_backup_kept_days, general_backup_kept_days) <> (user_days, general_days);
    END IF;
END $$;
