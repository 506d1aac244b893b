"""The erasure relay may claim, renew, acknowledge, postpone and count the ledger's entries."""

from __future__ import annotations

from alembic import op

revision = "u0004"
down_revision = "u0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(LEDGER.format(notify="PERFORM pg_notify('bicameral_erasures', '');"))
    for statement in (CLAIM, RENEW, ACKNOWLEDGE, POSTPONE, RELEASE, BACKLOG):
        op.execute(statement)


def downgrade() -> None:
    for signature in SIGNATURES:
        op.execute(f"DROP FUNCTION {signature}")
    op.execute(LEDGER.format(notify=""))


DEFINER = "SECURITY DEFINER SET search_path = public, pg_temp"

# As u0002 has it, and says so to whoever listens: of a deletion only, since NOTIFY takes a lock of
# the whole server at COMMIT. Without a payload, a tenant's ten thousand users are one message.
LEDGER = f"""
CREATE OR REPLACE FUNCTION keep_subject_ledger() RETURNS trigger LANGUAGE plpgsql {DEFINER} AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        INSERT INTO subject_ledger (tenant_id, user_id, state, rev, delivered_rev)
        VALUES (OLD.tenant_id, OLD.id, 'deleted', 1, 0)
        ON CONFLICT (tenant_id, user_id) DO UPDATE
        SET state = 'deleted', rev = subject_ledger.rev + 1, changed_at = now(),
            not_before = now(), lease_until = NULL, attempts = 0
        WHERE subject_ledger.state <> 'deleted';
        {{notify}}
    ELSE
        INSERT INTO subject_ledger (tenant_id, user_id, state, rev, delivered_rev)
        VALUES (NEW.tenant_id, NEW.id, 'present', 1, 1);
    END IF;
    RETURN NULL;
END $$
"""

# One pending erasure, the longest due, that nobody holds. MATERIALIZED: else the planner may put
# the LIMIT into a loop and lock more than one row. `lease_until` is this claim's token: a later
# claim of the same row always has a later one. All times are this server's own.
CLAIM = f"""
CREATE FUNCTION claim_erasure(lease interval)
RETURNS TABLE (tenant_id uuid, user_id uuid, rev bigint, lease_until timestamptz,
               requested_at timestamptz)
LANGUAGE sql {DEFINER} AS $$
    WITH due AS MATERIALIZED (
        SELECT l.tenant_id, l.user_id FROM subject_ledger l
        WHERE l.delivered_rev < l.rev AND l.state = 'deleted' AND l.not_before <= now()
        AND (l.lease_until IS NULL OR l.lease_until < now())
        ORDER BY l.not_before LIMIT 1 FOR UPDATE SKIP LOCKED
    )
    UPDATE subject_ledger l SET lease_until = now() + lease, attempts = l.attempts + 1
    FROM due WHERE l.tenant_id = due.tenant_id AND l.user_id = due.user_id
    RETURNING l.tenant_id, l.user_id, l.rev, l.lease_until, l.changed_at
$$
"""

HELD = """
    WHERE l.tenant_id = tenant AND l.user_id = subject AND l.rev = claimed_rev
    AND l.lease_until = held_until AND l.delivered_rev < l.rev
"""

# The new lease, or no row when somebody else has claimed it meanwhile. The counts are progress,
# for people to see.
RENEW = f"""
CREATE FUNCTION renew_erasure(
    tenant uuid, subject uuid, claimed_rev bigint, held_until timestamptz, lease interval,
    sessions bigint, texts bigint
) RETURNS timestamptz LANGUAGE sql {DEFINER} AS $$
    UPDATE subject_ledger l SET chat_sessions = sessions, messages = texts,
        lease_until = greatest(now(), l.lease_until + interval '1 microsecond') + lease
    {HELD} RETURNING l.lease_until
$$
"""

# Only forward, only what was claimed, only by its holder.
ACKNOWLEDGE = f"""
CREATE FUNCTION acknowledge_erasure(
    tenant uuid, subject uuid, claimed_rev bigint, held_until timestamptz,
    hash varchar, sessions bigint, texts bigint
) RETURNS boolean LANGUAGE sql {DEFINER} AS $$
    WITH done AS (
        UPDATE subject_ledger l SET delivered_rev = claimed_rev, receipt = hash,
            completed_at = now(), chat_sessions = sessions, messages = texts,
            lease_until = NULL, last_error = NULL
        {HELD} RETURNING 1
    )
    SELECT EXISTS (SELECT FROM done)
$$
"""

# This erasure failed: later again, for ever, each time after about twice as long, up to the
# longest; the jitter keeps many that failed together from coming back together.
POSTPONE = f"""
CREATE FUNCTION postpone_erasure(
    tenant uuid, subject uuid, claimed_rev bigint, held_until timestamptz,
    error varchar, first interval, longest interval
) RETURNS void LANGUAGE sql {DEFINER} AS $$
    UPDATE subject_ledger l SET lease_until = NULL, last_error = left(error, 200),
        not_before = now() + (0.5 + random() / 2)
            * least(longest, first * power(2, least(l.attempts - 1, 20)))
    {HELD}
$$
"""

# Given back, at the end of the queue, with no blame: the relay stops, has spent its turn on a large
# one, or the other database is away.
RELEASE = f"""
CREATE FUNCTION release_erasure(
    tenant uuid, subject uuid, claimed_rev bigint, held_until timestamptz, error varchar
) RETURNS void LANGUAGE sql {DEFINER} AS $$
    UPDATE subject_ledger l SET lease_until = NULL, not_before = now(),
        attempts = greatest(l.attempts - 1, 0),
        last_error = coalesce(left(error, 200), l.last_error)
    {HELD}
$$
"""

BACKLOG = f"""
CREATE FUNCTION erasure_backlog()
RETURNS TABLE (pending bigint, oldest_pending_seconds double precision, attempts_max integer)
LANGUAGE sql STABLE {DEFINER} AS $$
    SELECT count(*), coalesce(extract(epoch FROM now() - min(changed_at)), 0),
           coalesce(max(attempts), 0)
    FROM subject_ledger WHERE delivered_rev < rev AND state = 'deleted'
$$
"""

SIGNATURES = (
    "claim_erasure(interval)",
    "renew_erasure(uuid, uuid, bigint, timestamptz, interval, bigint, bigint)",
    "acknowledge_erasure(uuid, uuid, bigint, timestamptz, varchar, bigint, bigint)",
    "postpone_erasure(uuid, uuid, bigint, timestamptz, varchar, interval, interval)",
    "release_erasure(uuid, uuid, bigint, timestamptz, varchar)",
    "erasure_backlog()",
)
