-- Raises unless the owner may still write at this moment, as check_write does, and has this key; NULL:
-- what is written is plain. The owner's key is recorded with the first sealed write, for a person has
-- one key: whoever came with another would write what nobody can open.
CREATE OR REPLACE FUNCTION check_write_under(
    tenant uuid, owner uuid, seal_key uuid, not_after timestamptz
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    recorded uuid;
    is_open boolean;
BEGIN
    SELECT o.key_id INTO recorded FROM owners o
    WHERE o.tenant_id = tenant AND o.user_id = owner AND o.state = 'open';
    is_open := FOUND;
    IF is_open AND seal_key <> recorded THEN
        RAISE EXCEPTION 'the owner has another key' USING ERRCODE = 'BC041';
    END IF;
    IF is_open AND seal_key IS NOT NULL AND recorded IS NULL THEN
        -- Of two first writes one waits here for the other; the trigger refuses a second key.
        UPDATE owners o SET key_id = seal_key
        WHERE o.tenant_id = tenant AND o.user_id = owner AND o.state = 'open';
        is_open := FOUND;
    END IF;
    IF clock_timestamp() > not_after THEN
        RAISE EXCEPTION 'the caller was looked up too long ago' USING ERRCODE = 'BC001';
    END IF;
    IF NOT is_open THEN
        RAISE EXCEPTION 'the owner is closed: deleted, or about to be' USING ERRCODE = 'BC002';
    END IF;
END $$;
