-- Closes owners for good, as close_owner does with each, in the order of their ids, so that two relays
-- with the same owners do not wait for each other in a circle.
CREATE OR REPLACE FUNCTION close_owners(tenant uuid, subjects uuid[])
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    subject uuid;
BEGIN
    FOR subject IN SELECT one FROM unnest(subjects) AS one ORDER BY one LOOP
        PERFORM close_owner(tenant, subject);
    END LOOP;
END $$;
