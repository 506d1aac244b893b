-- Tells whether anything that an owner said is sealed.
CREATE OR REPLACE FUNCTION is_sealed(tenant uuid, owner uuid)
RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN EXISTS (
        SELECT FROM public.chat_sessions s
        WHERE s.tenant_id = tenant AND s.user_id = owner AND s.sealed IS NOT NULL
    ) OR EXISTS (
        SELECT FROM public.chat_sessions s
        JOIN public.messages m ON m.tenant_id = s.tenant_id AND m.session_id = s.id
        WHERE s.tenant_id = tenant AND s.user_id = owner AND m.sealed IS NOT NULL
    ) OR EXISTS (
        SELECT FROM public.general_idempotency_keys k
        WHERE k.tenant_id = tenant AND k.user_id = owner AND k.sealed IS NOT NULL
    );
END $$;
