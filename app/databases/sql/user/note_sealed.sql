-- Notes that nothing of a person's is plain any more, under the key that they have.
-- In a session of a tenant it is of that tenant's people alone; operators' commands are in none.
CREATE OR REPLACE FUNCTION note_sealed(tenant uuid, subject uuid, key_id uuid) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE wrapped_keys w SET plain_until = now() FROM sealing s
    WHERE w.tenant_id = tenant AND w.user_id = subject AND w.id = key_id
    AND w.plain_until = 'infinity' AND s.is_on AND s.sealed_after <= now()
    AND tenant = coalesce(nullif(current_setting('app.tenant_id', true), '')::uuid, tenant)
$$;
