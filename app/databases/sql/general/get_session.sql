-- Reads one of the owner's sessions: the tenant's setting and the query in one round trip. `sealed`
-- holds title and metadata of one that is sealed. The function has the caller's own rights, so row
-- level security holds in it as outside.
--
-- SET LOCAL and not set_config(), because Citus hands only the former on to its workers. It ends
-- with the transaction, which outside of BEGIN is the one statement that calls the function. The
-- functions of the other hot routes do the same.
CREATE OR REPLACE FUNCTION get_session(tenant uuid, owner uuid, session uuid)
RETURNS TABLE (
    id uuid, title varchar, message_count bigint, last_position bigint, version bigint,
    metadata text, external_id varchar, expires_at timestamptz, created_by uuid,
    forked_from_session uuid, forked_from_position bigint, created_at timestamptz,
    updated_at timestamptz, changed_minute timestamptz, sealed bytea
) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SET LOCAL app.tenant_id = %L', tenant);
    RETURN QUERY
        SELECT s.id, s.title, s.message_count, s.last_position, s.version, s.metadata,
            s.external_id, s.expires_at, s.created_by, s.forked_from_session,
            s.forked_from_position, s.created_at, s.updated_at, s.changed_minute,
            s.sealed
        FROM chat_sessions s
        WHERE s.tenant_id = tenant AND s.id = session AND s.user_id = owner;
END $$;
