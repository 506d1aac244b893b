-- Returns this database's last beat, and the last one of the user database that was noted here.
CREATE OR REPLACE FUNCTION heartbeat()
RETURNS TABLE (beat bigint, beat_at timestamptz, seen bigint, seen_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT h.beat, h.beat_at, h.seen, h.seen_at FROM heartbeats h
$$;
