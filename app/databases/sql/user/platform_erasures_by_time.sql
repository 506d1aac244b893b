-- Gives a platform administrator's page of the deleted users of all tenants, in the order of their
-- deletion by this server's clock. Its arguments are those of platform_user_page.
CREATE OR REPLACE FUNCTION platform_erasures_by_time(
    after_at timestamptz, after_id uuid, made_at timestamptz, page integer
) RETURNS SETOF subject_ledger
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF after_at IS NULL AND after_id IS NOT NULL THEN
        SELECT last.changed_at INTO after_at FROM subject_ledger last
        WHERE last.user_id = after_id AND last.state = 'deleted';
    END IF;
    after_at := coalesce(after_at, made_at, '-infinity');
    after_id := coalesce(after_id, '00000000-0000-0000-0000-000000000000');
    RETURN QUERY
        SELECT l.* FROM subject_ledger l
        WHERE l.state = 'deleted' AND (l.changed_at, l.user_id) > (after_at, after_id)
        ORDER BY l.changed_at, l.user_id LIMIT page;
END $$;
