-- Tells which of these users have had a chat session changed since a moment.
CREATE OR REPLACE FUNCTION active_since(moment timestamptz, tenants uuid[], subjects uuid[])
RETURNS TABLE (tenant_id uuid, user_id uuid) LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH asked AS MATERIALIZED (
        SELECT * FROM unnest(tenants, subjects) AS k (tenant_id, user_id)
    )
    SELECT DISTINCT s.tenant_id, s.user_id FROM chat_sessions s
    JOIN asked k ON k.tenant_id = s.tenant_id AND k.user_id = s.user_id
    WHERE s.updated_at >= moment
$$;
