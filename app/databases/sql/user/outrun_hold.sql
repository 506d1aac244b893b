-- Goes past the revision that the general database has seen, where that is later than this one's:
-- this database was restored to before it. What is to be delivered then has a later revision.
CREATE OR REPLACE FUNCTION outrun_hold(tenant uuid, subject uuid, delivered bigint, seen bigint)
RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE subject_ledger l SET hold_rev = seen + 1
    WHERE l.tenant_id = tenant AND l.user_id = subject
    AND l.hold_rev = delivered AND seen > delivered
$$;
