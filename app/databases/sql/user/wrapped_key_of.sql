-- Returns a person's wrapped key, for whoever may export what they said and for conversions.
CREATE OR REPLACE FUNCTION wrapped_key_of(tenant uuid, subject uuid)
RETURNS TABLE (id uuid, master_id text, wrapped bytea)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT w.id, w.master_id, w.wrapped FROM wrapped_keys w
    WHERE w.tenant_id = tenant AND w.user_id = subject
$$;
