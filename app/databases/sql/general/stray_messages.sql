-- Lists the sessions that are not there and yet have messages: an anti-join within each tenant, which
-- a sharded database runs on each shard by itself. It reads two indexes and no message.
CREATE OR REPLACE FUNCTION stray_messages()
RETURNS TABLE (tenant_id uuid, session_id uuid) LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
AS $$
    SELECT DISTINCT m.tenant_id, m.session_id FROM messages m
    WHERE NOT EXISTS (SELECT FROM chat_sessions s
                      WHERE s.tenant_id = m.tenant_id AND s.id = m.session_id)
$$;
