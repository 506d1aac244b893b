-- Finds the position of a session's item by its id: the one that a client gave it, or that of its
-- message. NULL: there is none.
CREATE OR REPLACE FUNCTION item_place(tenant uuid, session uuid, item text, native uuid)
RETURNS bigint LANGUAGE plpgsql STABLE AS $$
DECLARE
    place bigint;
BEGIN
    SELECT m.position INTO place FROM messages m
    WHERE m.tenant_id = tenant AND m.session_id = session AND m.item_id = item;
    IF NOT FOUND AND native IS NOT NULL THEN
        SELECT m.position INTO place FROM messages m
        WHERE m.tenant_id = tenant AND m.session_id = session AND m.id = native
        AND m.item_id IS NULL;
    END IF;
    RETURN place;
END $$;
