-- Trigger on users: a username begins with the name of its tenant, and only the tenant `platform` has
-- administrators of the platform. Row level security would let a tenant's session write either.
CREATE OR REPLACE FUNCTION keep_user_at_home() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    home varchar;
BEGIN
    SELECT t.name INTO home FROM public.tenants t WHERE t.id = NEW.tenant_id;
    IF NOT FOUND THEN
        RETURN NEW; -- row level security refuses it, or the foreign key
    END IF;
    IF NOT starts_with(NEW.username, format('\%s\', home)) THEN
        RAISE EXCEPTION 'a username begins with the name of its tenant'
            USING ERRCODE = '23514', CONSTRAINT = 'keep_user_at_home', TABLE = 'users';
    END IF;
    IF NEW.roles ? 'admin' AND home <> 'platform' THEN
        RAISE EXCEPTION 'only the tenant platform has administrators of the platform'
            USING ERRCODE = '23514', CONSTRAINT = 'keep_user_at_home', TABLE = 'users';
    END IF;
    RETURN NEW;
END $$;
