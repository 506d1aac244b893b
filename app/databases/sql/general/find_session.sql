-- Reads one of the owner's sessions: the tenant's setting and the query in one round trip. It has
-- the caller's own rights, so row level security holds in it as outside.
--
-- SET LOCAL and not set_config(), because Citus hands only the former on to its workers. It ends
-- with the transaction, which outside of BEGIN is the one statement that calls the function. The
-- functions of the other hot routes do the same.
CREATE OR REPLACE FUNCTION find_session(tenant uuid, owner uuid, session uuid)
RETURNS SETOF chat_sessions LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SET LOCAL app.tenant_id = %L', tenant);
    RETURN QUERY
        SELECT s.* FROM chat_sessions s
        WHERE s.tenant_id = tenant AND s.id = session AND s.user_id = owner;
END $$;
