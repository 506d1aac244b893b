-- Trigger on tenants: a tenant keeps its id and its name, with which the names of its users begin.
CREATE OR REPLACE FUNCTION keep_tenant_name() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a tenant keeps its id and its name' USING ERRCODE = '23514';
END $$;
