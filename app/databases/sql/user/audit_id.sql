-- Makes the id of an audit event: a UUID of version 7, by this server's clock, so that ids are in
-- the order of time whichever process writes.
CREATE OR REPLACE FUNCTION audit_id() RETURNS uuid LANGUAGE sql VOLATILE AS $$
    SELECT encode(set_bit(set_bit(overlay(
        uuid_send(gen_random_uuid())
        PLACING substring(int8send(floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint)
                          FROM 3) FROM 1 FOR 6), 52, 1), 53, 1), 'hex')::uuid
$$;
