-- Trigger on user_blocks: refuses a block of somebody in another tenant before the primary key could
-- tell whether they are blocked there. The foreign key would refuse it too, but later.
CREATE OR REPLACE FUNCTION keep_block_at_home() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM public.tenants t WHERE t.id = NEW.tenant_id AND NOT EXISTS (
        SELECT FROM public.users u WHERE u.tenant_id = t.id AND u.id = NEW.user_id);
    IF FOUND THEN
        RAISE EXCEPTION 'there is no such user in this tenant'
            USING ERRCODE = '23503', CONSTRAINT = 'fk_user_blocks_user_id_users',
            TABLE = 'user_blocks';
    END IF;
    RETURN NEW;
END $$;
