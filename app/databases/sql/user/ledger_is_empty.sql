-- Tells whether this database never had a user. Then it is the wrong database or a new one, and
-- reconcile takes nobody for a stranger because of it.
CREATE OR REPLACE FUNCTION ledger_is_empty() RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT NOT EXISTS (SELECT FROM subject_ledger) AND NOT EXISTS (SELECT FROM users)
$$;
