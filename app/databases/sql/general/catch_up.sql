-- Ends the proof that this database was restored: its count goes on from the beat that the user
-- database knows. The relay's login may not call it.
CREATE OR REPLACE FUNCTION catch_up(known bigint) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE heartbeats h SET beat = known, beat_at = clock_timestamp() WHERE h.beat < known
$$;
