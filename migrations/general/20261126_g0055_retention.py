"""Conversations that were kept long enough are deleted by functions of the relay, and counted.

A tally counts what was deleted in a tenant on a day, in the transaction that deletes it, until it
becomes a receipt.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "g0055"
down_revision = "g0054"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "retention_tallies",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("chat_sessions", sa.BigInteger(), nullable=False),
        sa.Column("messages", sa.BigInteger(), nullable=False),
        sa.Column("cutoff", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "day", name="pk_retention_tallies"),
    )
    for statement in (*POLICIES, MINUTE, TRIGGER, LOCK, SWEEP, OVERDUE, RECEIVE, TENANTS):
        op.execute(statement)


def downgrade() -> None:
    """A tally without its receipt is lost: let a sweep end before."""
    for name in ("sweepable_tenants", "receive_retention", "overdue", "sweep_sessions"):
        op.execute(f"DROP FUNCTION {name}")
    op.execute("DROP FUNCTION lock_overdue")
    op.execute("DROP TRIGGER keep_changed_minute ON chat_sessions")
    op.execute("DROP FUNCTION keep_changed_minute")
    op.drop_table("retention_tallies")


DEFINER = "SECURITY DEFINER SET search_path = public, pg_temp"
MINE = "tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid"
EVERYWHERE = "USING (current_user <> session_user) WITH CHECK (current_user <> session_user)"
POLICIES = (
    "ALTER TABLE retention_tallies ENABLE ROW LEVEL SECURITY",
    f"CREATE POLICY tenant ON retention_tallies USING ({MINE}) WITH CHECK ({MINE})",
    f"CREATE POLICY across ON retention_tallies TO CURRENT_USER {EVERYWHERE}",
    "ALTER TABLE retention_tallies FORCE ROW LEVEL SECURITY",
)

TRIGGER = """
CREATE TRIGGER keep_changed_minute AFTER INSERT OR UPDATE OF updated_at, changed_minute
    ON chat_sessions FOR EACH ROW
    WHEN (NEW.changed_minute IS DISTINCT FROM date_trunc('minute', NEW.updated_at))
    EXECUTE FUNCTION keep_changed_minute()
"""

LOCK = f"""
CREATE FUNCTION lock_overdue(tenant uuid, days integer, rows integer) RETURNS uuid[]
LANGUAGE plpgsql {DEFINER} AS $$
DECLARE
    changed_before timestamptz := CASE WHEN days >= 1 THEN now() - days * interval '24 hours' END;
    taken uuid[];
BEGIN
    WITH unchanged AS MATERIALIZED (
        SELECT s.id, s.message_count FROM chat_sessions s
        JOIN owners o ON o.tenant_id = tenant AND o.user_id = s.user_id
        WHERE s.tenant_id = tenant AND s.changed_minute < 'infinity'
        AND s.changed_minute <= changed_before AND s.updated_at < changed_before
        AND o.state = 'open' AND NOT o.held
        ORDER BY s.changed_minute LIMIT rows
    ), ended AS MATERIALIZED (
        SELECT s.id, s.message_count FROM chat_sessions s
        JOIN owners o ON o.tenant_id = tenant AND o.user_id = s.user_id
        WHERE s.tenant_id = tenant AND s.expires_at <= now() AND o.state = 'open' AND NOT o.held
        ORDER BY s.expires_at LIMIT rows
    ), next AS MATERIALIZED (
        SELECT c.id, row_number() OVER (ORDER BY c.id) AS place,
               sum(c.message_count + 1) OVER (ORDER BY c.id) AS total
        FROM (SELECT u.id, u.message_count FROM unchanged u
              UNION SELECT e.id, e.message_count FROM ended e) AS c
    ), locked AS MATERIALIZED (
        SELECT s.id FROM chat_sessions s
        JOIN next n ON n.id = s.id
        JOIN owners o ON o.tenant_id = tenant AND o.user_id = s.user_id
        WHERE s.tenant_id = tenant AND (n.total <= rows OR n.place = 1)
        AND (s.updated_at < changed_before OR s.expires_at <= now())
        AND o.state = 'open' AND NOT o.held
        FOR UPDATE OF s SKIP LOCKED FOR KEY SHARE OF o SKIP LOCKED
    )
    SELECT array_agg(l.id) INTO taken FROM locked l;
    RETURN taken;
END $$
"""

SWEEP = f"""
CREATE FUNCTION sweep_sessions(
    tenant uuid, days integer, rows integer, begun uuid[],
    OUT taken uuid[], OUT sessions bigint, OUT messages bigint
) LANGUAGE plpgsql {DEFINER} AS $$
DECLARE
    changed_before timestamptz := CASE WHEN days >= 1 THEN now() - days * interval '24 hours' END;
BEGIN
    taken := coalesce(begun, lock_overdue(tenant, days, rows));
    sessions := 0;
    messages := 0;
    IF taken IS NULL THEN
        RETURN;
    END IF;
    WITH doomed AS MATERIALIZED (
        SELECT m.id
        FROM chat_sessions s CROSS JOIN LATERAL (
            SELECT x.id FROM messages x
            WHERE x.tenant_id = tenant AND x.session_id = s.id LIMIT rows) AS m
        WHERE s.tenant_id = tenant AND s.id = ANY (taken)
        AND (s.updated_at < changed_before OR s.expires_at <= now())
        LIMIT rows
    )
    DELETE FROM messages m USING doomed WHERE m.tenant_id = tenant AND m.id = doomed.id;
    GET DIAGNOSTICS messages = ROW_COUNT;
    IF messages < rows THEN
        DELETE FROM chat_sessions s
        WHERE s.tenant_id = tenant AND s.id = ANY (taken)
        AND (s.updated_at < changed_before OR s.expires_at <= now())
        AND NOT EXISTS (SELECT FROM messages m WHERE m.tenant_id = tenant AND m.session_id = s.id);
        GET DIAGNOSTICS sessions = ROW_COUNT;
    END IF;
    IF sessions + messages > 0 THEN
        INSERT INTO retention_tallies AS t (tenant_id, day, chat_sessions, messages, cutoff)
        VALUES (tenant, (now() AT TIME ZONE 'UTC')::date, sessions, messages,
                coalesce(changed_before, now()))
        ON CONFLICT (tenant_id, day) DO UPDATE SET
            chat_sessions = t.chat_sessions + excluded.chat_sessions,
            messages = t.messages + excluded.messages,
            cutoff = greatest(t.cutoff, excluded.cutoff);
    END IF;
END $$
"""

OVERDUE = f"""
CREATE FUNCTION overdue(
    tenant uuid, days integer, OUT chat_sessions bigint, OUT messages bigint, OUT cutoff timestamptz
) LANGUAGE plpgsql STABLE {DEFINER} AS $$
DECLARE
    changed_before timestamptz := CASE WHEN days >= 1 THEN now() - days * interval '24 hours' END;
BEGIN
    cutoff := coalesce(changed_before, now());
    WITH due AS MATERIALIZED (
        SELECT s.id, s.user_id, s.message_count FROM chat_sessions s
        WHERE s.tenant_id = tenant AND s.changed_minute < 'infinity'
        AND s.changed_minute <= changed_before AND s.updated_at < changed_before
        UNION
        SELECT s.id, s.user_id, s.message_count FROM chat_sessions s
        WHERE s.tenant_id = tenant AND s.expires_at <= now()
    )
    SELECT count(*), coalesce(sum(due.message_count), 0) INTO chat_sessions, messages
    FROM due JOIN owners o ON o.tenant_id = tenant AND o.user_id = due.user_id
    WHERE o.state = 'open' AND NOT o.held;
END $$
"""

RECEIVE = f"""
CREATE FUNCTION receive_retention(tenant uuid, days integer) RETURNS SETOF varchar
LANGUAGE plpgsql {DEFINER} AS $$
DECLARE
    changed_before timestamptz := CASE WHEN days >= 1 THEN now() - days * interval '24 hours' END;
    facts jsonb;
BEGIN
    IF NOT EXISTS (SELECT FROM retention_tallies t WHERE t.tenant_id = tenant) THEN
        RETURN;
    END IF;
    PERFORM lock_receipts();
    FOR facts IN
        WITH done AS MATERIALIZED (
            SELECT t.day FROM retention_tallies t
            WHERE t.tenant_id = tenant AND (
                t.day < (now() AT TIME ZONE 'UTC')::date
                OR NOT EXISTS (
                    SELECT FROM chat_sessions s
                    JOIN owners o ON o.tenant_id = tenant AND o.user_id = s.user_id
                    WHERE s.tenant_id = tenant AND s.changed_minute < 'infinity'
                    AND s.changed_minute <= changed_before AND s.updated_at < changed_before
                    AND o.state = 'open' AND NOT o.held)
                AND NOT EXISTS (
                    SELECT FROM chat_sessions s
                    JOIN owners o ON o.tenant_id = tenant AND o.user_id = s.user_id
                    WHERE s.tenant_id = tenant AND s.expires_at <= now()
                    AND o.state = 'open' AND NOT o.held))
            ORDER BY t.day FOR UPDATE OF t SKIP LOCKED
        )
        DELETE FROM retention_tallies t USING done
        WHERE t.tenant_id = tenant AND t.day = done.day
        RETURNING jsonb_build_object(
            'tenant_id', t.tenant_id, 'user_id', t.id, 'kind', 'retention', 'cutoff', t.cutoff,
            'chat_sessions', t.chat_sessions, 'messages', t.messages, 'remaining', 0)
    LOOP
        RETURN QUERY
        INSERT INTO erasure_receipts AS e (
            tenant_id, user_id, seq, chat_sessions, messages, remaining, finished_at, prev_hash,
            hash, v, kind, cutoff)
        SELECT r.tenant_id, r.user_id, r.seq, r.chat_sessions, r.messages, r.remaining,
            r.finished_at, r.prev_hash, r.hash, r.v, r.kind, r.cutoff
        FROM link_receipt(facts) AS r
        RETURNING e.hash;
    END LOOP;
END $$
"""

TENANTS = f"""
CREATE FUNCTION sweepable_tenants(after uuid, page integer) RETURNS SETOF uuid
LANGUAGE plpgsql STABLE {DEFINER} AS $$
DECLARE
    tenant uuid := after;
    found_so_far integer := 0;
BEGIN
    WHILE found_so_far < page LOOP
        SELECT min(n.tenant_id::text)::uuid INTO tenant FROM (
            (SELECT s.tenant_id FROM chat_sessions s
             WHERE s.expires_at IS NOT NULL AND s.tenant_id > tenant ORDER BY s.tenant_id LIMIT 1)
            UNION ALL
            (SELECT t.tenant_id FROM retention_tallies t
             WHERE t.tenant_id > tenant ORDER BY t.tenant_id LIMIT 1)
        ) AS n;
        EXIT WHEN tenant IS NULL;
        IF EXISTS (SELECT FROM chat_sessions s
                   WHERE s.tenant_id = tenant AND s.expires_at <= now())
        OR EXISTS (SELECT FROM retention_tallies t WHERE t.tenant_id = tenant) THEN
            found_so_far := found_so_far + 1;
            RETURN NEXT tenant;
        END IF;
    END LOOP;
END $$
"""

MINUTE = """
CREATE FUNCTION keep_changed_minute() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE chat_sessions s SET changed_minute = date_trunc('minute', s.updated_at)
    WHERE s.tenant_id = NEW.tenant_id AND s.id = NEW.id;
    RETURN NULL;
END $$
"""
