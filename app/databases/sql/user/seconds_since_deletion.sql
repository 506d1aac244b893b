-- Tells how long ago these users were deleted, by this server's clock, for the relay's figures.
CREATE OR REPLACE FUNCTION seconds_since_deletion(tenant uuid, subjects uuid[])
RETURNS TABLE (user_id uuid, seconds double precision)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT l.user_id, extract(epoch FROM clock_timestamp() - l.changed_at)::double precision
    FROM subject_ledger l
    WHERE l.tenant_id = tenant AND l.user_id = ANY (subjects) AND l.state = 'deleted'
$$;
