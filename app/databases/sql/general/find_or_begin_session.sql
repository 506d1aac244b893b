-- Returns the owner's session of this external id; if there is none, opens it as `session`. Of many
-- at once one opens it: the unique index makes the others wait, and then they find it. It goes round
-- again only if what they waited for was deleted meanwhile.
CREATE OR REPLACE FUNCTION find_or_begin_session(
    tenant uuid, owner uuid, session uuid, name text, pairs text, tags bytea[], external text,
    expires timestamptz, creator uuid, seal bytea, seal_key uuid, not_after timestamptz
) RETURNS TABLE (
    id uuid, title varchar, message_count bigint, last_position bigint, version bigint,
    metadata text, external_id varchar, expires_at timestamptz, created_by uuid,
    forked_from_session uuid, forked_from_position bigint, created_at timestamptz,
    updated_at timestamptz, changed_minute timestamptz, sealed bytea
) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SET LOCAL app.tenant_id = %L', tenant);
    LOOP
        RETURN QUERY
            SELECT s.id, s.title, s.message_count, s.last_position, s.version, s.metadata,
                s.external_id, s.expires_at, s.created_by, s.forked_from_session,
                s.forked_from_position, s.created_at, s.updated_at, s.changed_minute,
                s.sealed
            FROM chat_sessions s
            WHERE s.tenant_id = tenant AND s.user_id = owner AND s.external_id = external;
        IF FOUND THEN
            RETURN;
        END IF;
        BEGIN
            RETURN QUERY
                SELECT * FROM begin_session(
                    tenant, owner, session, name, pairs, tags, external, expires, creator,
                    seal, seal_key, not_after);
            RETURN;
        EXCEPTION WHEN unique_violation THEN
            NULL;
        END;
    END LOOP;
END $$;
