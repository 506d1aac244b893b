-- Counts a beat, notes the last one of the user database, and returns what is so then. Nothing is
-- written if the last beat is younger than `pause`.
--
-- `known` is a beat of this database that the user one had noted before this was called. A count
-- below it proves that commits of this database are lost. It then stays where it is, since the proof
-- would be gone as soon as it had caught up.
CREATE OR REPLACE FUNCTION beat(known bigint, other bigint, other_at timestamptz, pause interval)
RETURNS TABLE (beat bigint, beat_at timestamptz, seen bigint, seen_at timestamptz)
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE heartbeats h
    SET beat = CASE WHEN h.beat < known THEN h.beat ELSE h.beat + 1 END,
        beat_at = CASE WHEN h.beat < known THEN h.beat_at ELSE clock_timestamp() END,
        seen = greatest(h.seen, other),
        seen_at = CASE WHEN h.seen < other THEN other_at ELSE h.seen_at END
    WHERE h.beat_at IS NULL OR h.beat_at <= clock_timestamp() - pause;
    SELECT h.beat, h.beat_at, h.seen, h.seen_at FROM heartbeats h
$$;
