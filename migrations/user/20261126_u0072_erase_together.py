"""Erasures of one tenant's users are claimed, renewed, acknowledged and released together.

The functions for one user stay, for the version before.
"""

from __future__ import annotations

from alembic import op

revision = "u0072"
down_revision = "u0071"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for statement in (CLAIM_ERASURES, RENEW_ERASURES, ACKNOWLEDGE_ERASURES, RELEASE_ERASURES):
        op.execute(statement)


def downgrade() -> None:
    for name in ("release_erasures", "acknowledge_erasures", "renew_erasures", "claim_erasures"):
        op.execute(f"DROP FUNCTION {name}")


CLAIM_ERASURES = """
CREATE FUNCTION claim_erasures(lease interval, most integer, newest boolean)
RETURNS TABLE (tenant_id uuid, user_id uuid, rev bigint, lease_until timestamptz)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    first record;
    claimed uuid[];
BEGIN
    IF newest THEN
        SELECT l.tenant_id, l.user_id INTO first FROM subject_ledger l
        WHERE l.delivered_rev < l.rev AND l.state = 'deleted' AND l.not_before <= now()
        AND (l.lease_until IS NULL OR l.lease_until < now())
        ORDER BY l.changed_at DESC LIMIT 1 FOR UPDATE SKIP LOCKED;
    ELSE
        SELECT l.tenant_id, l.user_id INTO first FROM subject_ledger l
        WHERE l.delivered_rev < l.rev AND l.state = 'deleted' AND l.not_before <= now()
        AND (l.lease_until IS NULL OR l.lease_until < now())
        ORDER BY l.not_before LIMIT 1 FOR UPDATE SKIP LOCKED;
    END IF;
    claimed := first.user_id || ARRAY(
        SELECT l.user_id FROM subject_ledger l
        WHERE l.tenant_id = first.tenant_id AND l.user_id <> first.user_id
        AND l.delivered_rev < l.rev AND l.state = 'deleted' AND l.not_before <= now()
        AND (l.lease_until IS NULL OR l.lease_until < now())
        ORDER BY l.not_before LIMIT most - 1 FOR UPDATE SKIP LOCKED);
    RETURN QUERY
    UPDATE subject_ledger l SET lease_until = now() + lease, attempts = l.attempts + 1
    WHERE l.tenant_id = first.tenant_id AND l.user_id = ANY (claimed)
    RETURNING l.tenant_id, l.user_id, l.rev, l.lease_until;
END $$
"""

RENEW_ERASURES = """
CREATE FUNCTION renew_erasures(
    tenant uuid, subjects uuid[], revs bigint[], held_until timestamptz, lease interval,
    sessions bigint[], texts bigint[]
) RETURNS TABLE (user_id uuid, lease_until timestamptz)
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE subject_ledger l SET chat_sessions = coalesce(held.sessions, l.chat_sessions),
        messages = coalesce(held.texts, l.messages),
        lease_until = greatest(now(), l.lease_until + interval '1 microsecond') + lease
    FROM unnest(subjects, revs, sessions, texts) AS held (user_id, rev, sessions, texts)
    WHERE l.tenant_id = tenant AND l.user_id = ANY (subjects)
    AND l.user_id = held.user_id AND l.rev = held.rev
    AND l.lease_until = held_until AND l.delivered_rev < l.rev
    RETURNING l.user_id, l.lease_until
$$
"""

ACKNOWLEDGE_ERASURES = """
CREATE FUNCTION acknowledge_erasures(
    tenant uuid, subjects uuid[], revs bigint[], held_until timestamptz,
    hashes varchar[], sessions bigint[], texts bigint[]
) RETURNS SETOF uuid LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE subject_ledger l SET delivered_rev = done.rev, receipt = done.hash,
        completed_at = now(), chat_sessions = done.sessions, messages = done.texts,
        lease_until = NULL, last_error = NULL
    FROM unnest(subjects, revs, hashes, sessions, texts)
        AS done (user_id, rev, hash, sessions, texts)
    WHERE l.tenant_id = tenant AND l.user_id = ANY (subjects)
    AND l.user_id = done.user_id AND l.rev = done.rev
    AND l.lease_until = held_until AND l.delivered_rev < l.rev
    RETURNING l.user_id
$$
"""

RELEASE_ERASURES = """
CREATE FUNCTION release_erasures(
    tenant uuid, subjects uuid[], revs bigint[], held_until timestamptz, error varchar
) RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE subject_ledger l SET lease_until = NULL, not_before = now(),
        attempts = greatest(l.attempts - 1, 0),
        last_error = coalesce(left(error, 200), l.last_error)
    FROM unnest(subjects, revs) AS held (user_id, rev)
    WHERE l.tenant_id = tenant AND l.user_id = ANY (subjects)
    AND l.user_id = held.user_id AND l.rev = held.rev
    AND l.lease_until = held_until AND l.delivered_rev < l.rev
$$
"""
