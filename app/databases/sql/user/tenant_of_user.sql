-- Finds the tenant of a user who is there or ever was, so that a platform administrator's request
-- can act in it.
CREATE OR REPLACE FUNCTION tenant_of_user(subject uuid) RETURNS uuid LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT tenant_id FROM subject_ledger WHERE user_id = subject
$$;
