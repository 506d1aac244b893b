-- What a relay of the version before calls; see sweep_rows.
CREATE OR REPLACE FUNCTION sweep_sessions(
    tenant uuid, days integer, rows integer, begun uuid[],
    OUT taken uuid[], OUT sessions bigint, OUT messages bigint
) LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT r.taken, r.sessions, r.messages FROM sweep_rows(tenant, days, rows, begun, 0) AS r
$$;
