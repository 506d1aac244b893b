-- Returns a person's wrapped key, for whoever may export what they said and for conversions.
-- In a session of a tenant it is of that tenant's people alone; operators' commands are in none.
CREATE OR REPLACE FUNCTION wrapped_key_of(tenant uuid, subject uuid)
RETURNS TABLE (id uuid, master_id text, wrapped bytea)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT w.id, w.master_id, w.wrapped FROM wrapped_keys w
    WHERE w.tenant_id = tenant AND w.user_id = subject
    AND tenant = coalesce(nullif(current_setting('app.tenant_id', true), '')::uuid, tenant)
$$;
