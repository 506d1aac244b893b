-- Returns the owner's session of this external id; if there is none, opens it as `session`. Of many
-- at once one opens it: the unique index makes the others wait, and then they find it. It goes round
-- again only if what they waited for was deleted meanwhile.
CREATE OR REPLACE FUNCTION find_or_open_session(
    tenant uuid, owner uuid, session uuid, name text, metadata text, tags bytea[], external text,
    expires timestamptz, creator uuid, not_after timestamptz
) RETURNS SETOF chat_sessions LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SET LOCAL app.tenant_id = %L', tenant);
    LOOP
        RETURN QUERY
            SELECT s.* FROM chat_sessions s
            WHERE s.tenant_id = tenant AND s.user_id = owner AND s.external_id = external;
        IF FOUND THEN
            RETURN;
        END IF;
        BEGIN
            RETURN QUERY
                SELECT * FROM open_session(
                    tenant, owner, session, name, metadata, tags, external, expires, creator,
                    not_after);
            RETURN;
        EXCEPTION WHEN unique_violation THEN
            NULL;
        END;
    END LOOP;
END $$;
