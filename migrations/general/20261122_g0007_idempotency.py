"""Idempotency keys: what was answered to a request that created, so that a retry is answered alike.

An answer repeats what was said. So a key's owner must be open, as a session's must; it goes with
the session whose messages it repeats; and no receipt is written while a key of the user is left.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "g0007"
down_revision = "g0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _general_idempotency_keys()
    _keep_tenants_apart()
    for statement in (GATE, EXPIRE, APPEND % KEYS_TOO, SUSPECTS % SUSPECT_KEYS, FACTS % OR_KEYS):
        op.execute(statement)


def downgrade() -> None:
    for statement in (APPEND % "", SUSPECTS % "", FACTS % ""):
        op.execute(statement)
    op.execute("DROP FUNCTION expire_keys(integer)")
    op.drop_table("general_idempotency_keys")


def _general_idempotency_keys() -> None:
    op.create_table(
        "general_idempotency_keys",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.String(255), nullable=False),
        sa.Column("fingerprint", sa.Text()),
        sa.Column("answer", sa.LargeBinary()),
        sa.Column("about_id", sa.Uuid()),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "user_id", "key", name="pk_general_idempotency_keys"),
        sa.ForeignKeyConstraint(
            ["tenant_id", "user_id"],
            ["owners.tenant_id", "owners.user_id"],
            name="fk_general_idempotency_keys_tenant_id_owners",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "about_id"],
            ["chat_sessions.tenant_id", "chat_sessions.id"],
            name="fk_general_idempotency_keys_tenant_id_chat_sessions",
            ondelete="CASCADE",
        ),
    )
    table = "general_idempotency_keys"
    op.create_index(
        "idx_general_idempotency_keys_about_id",
        table,
        ["tenant_id", "about_id"],
        postgresql_where=sa.text("about_id IS NOT NULL"),
    )
    op.create_index("idx_general_idempotency_keys_expires_at", table, ["expires_at"])


def _keep_tenants_apart() -> None:
    """Set the policies as g0004 does for its tables."""
    tenant = "nullif(current_setting('app.tenant_id', true), '')::uuid"
    across = "current_user <> session_user"
    op.execute("ALTER TABLE general_idempotency_keys ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE general_idempotency_keys FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY tenant ON general_idempotency_keys"
        f" USING (tenant_id = {tenant}) WITH CHECK (tenant_id = {tenant})"
    )
    op.execute(
        "CREATE POLICY across ON general_idempotency_keys TO CURRENT_USER"
        f" USING ({across}) WITH CHECK ({across})"
    )


# g0002's: what a closing relay waits for. A key that is stored with a message finds its session
# locked already; this holds for whatever else might store one.
GATE = """
CREATE TRIGGER owner_is_open AFTER INSERT OR UPDATE OF tenant_id, user_id
    ON general_idempotency_keys FOR EACH ROW EXECUTE FUNCTION owner_is_open()
"""

DEFINER = "SECURITY DEFINER SET search_path = public, pg_temp"

# MATERIALIZED: else more might be locked than the limit says.
EXPIRE = f"""
CREATE FUNCTION expire_keys(rows integer) RETURNS bigint LANGUAGE sql {DEFINER} AS $$
    WITH expired AS MATERIALIZED (
        SELECT k.tenant_id, k.user_id, k.key FROM general_idempotency_keys k
        WHERE k.expires_at <= now() ORDER BY k.expires_at LIMIT rows FOR UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM general_idempotency_keys k USING expired e
        WHERE k.tenant_id = e.tenant_id AND k.user_id = e.user_id AND k.key = e.key
        RETURNING 1
    )
    SELECT count(*) FROM gone
$$
"""

# g0004's, which says why it is as it is. What remains is now sessions and keys.
APPEND = f"""
CREATE OR REPLACE FUNCTION append_receipt(tenant uuid, subject uuid) RETURNS SETOF erasure_receipts
LANGUAGE plpgsql {DEFINER} AS $$
DECLARE
    last_seq bigint;
    last_hash varchar;
    moment timestamptz;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed'
    OR current_user = session_user THEN
        RAISE EXCEPTION 'receipts are written by the relay, in READ COMMITTED'
            USING ERRCODE = '25000';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('erasure_receipts', 0));
    SELECT r.seq, r.hash INTO last_seq, last_hash
    FROM erasure_receipts r ORDER BY r.seq DESC LIMIT 1;
    IF NOT FOUND THEN
        last_seq := 0;
        last_hash := repeat('0', 64);
    END IF;
    moment := clock_timestamp();
    INSERT INTO erasure_receipts (tenant_id, user_id, seq, chat_sessions, messages, remaining,
                                  finished_at, prev_hash, hash)
    SELECT o.tenant_id, o.user_id, last_seq + 1, o.chat_sessions, o.messages,
        (SELECT count(*) FROM chat_sessions s
         WHERE s.tenant_id = tenant AND s.user_id = subject)%s,
        moment, last_hash,
        encode(sha256(convert_to(concat_ws('|', 'bicameral-receipt-1', last_seq + 1,
            o.tenant_id, o.user_id, o.chat_sessions, o.messages,
            to_char(moment AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
            last_hash), 'UTF8')), 'hex')
    FROM owners o
    WHERE o.tenant_id = tenant AND o.user_id = subject AND o.state <> 'open'
    ON CONFLICT (tenant_id, user_id) DO NOTHING;
    UPDATE owners o SET state = 'erased'
    WHERE o.tenant_id = tenant AND o.user_id = subject AND o.state = 'closed';
    RETURN QUERY
    SELECT * FROM erasure_receipts r WHERE r.tenant_id = tenant AND r.user_id = subject;
END $$
"""
KEYS_TOO = """
        + (SELECT count(*) FROM general_idempotency_keys k
           WHERE k.tenant_id = tenant AND k.user_id = subject)"""

# g0005's, for reconcile: rows of those whose owner is closed or missing.
SUSPECTS = f"""
CREATE OR REPLACE FUNCTION owner_suspects()
RETURNS TABLE (tenant_id uuid, user_id uuid) LANGUAGE sql STABLE {DEFINER} AS $$
    SELECT s.tenant_id, s.user_id FROM chat_sessions s
    LEFT JOIN owners o ON o.tenant_id = s.tenant_id AND o.user_id = s.user_id
    WHERE o.state IS DISTINCT FROM 'open'%s
    UNION
    SELECT r.tenant_id, r.user_id FROM erasure_receipts r
    LEFT JOIN owners o ON o.tenant_id = r.tenant_id AND o.user_id = r.user_id
    WHERE o.state IS DISTINCT FROM 'erased'
$$
"""
SUSPECT_KEYS = """
    UNION
    SELECT k.tenant_id, k.user_id FROM general_idempotency_keys k
    LEFT JOIN owners o ON o.tenant_id = k.tenant_id AND o.user_id = k.user_id
    WHERE o.state IS DISTINCT FROM 'open'"""

# Keys count as sessions do; the column keeps its name for the version before, which still runs.
FACTS = f"""
CREATE OR REPLACE FUNCTION owner_facts(tenants uuid[], subjects uuid[])
RETURNS TABLE (tenant_id uuid, user_id uuid, state varchar, is_dated boolean, receipt varchar,
               has_sessions boolean)
LANGUAGE sql STABLE {DEFINER} AS $$
    SELECT k.tenant_id, k.user_id, o.state, o.closed_at IS NOT NULL, r.hash,
        EXISTS (SELECT FROM chat_sessions s
                WHERE s.tenant_id = k.tenant_id AND s.user_id = k.user_id)%s
    FROM unnest(tenants, subjects) AS k (tenant_id, user_id)
    LEFT JOIN owners o ON o.tenant_id = k.tenant_id AND o.user_id = k.user_id
    LEFT JOIN erasure_receipts r ON r.tenant_id = k.tenant_id AND r.user_id = k.user_id
    WHERE o.state IS DISTINCT FROM 'open' OR r.hash IS NOT NULL
$$
"""
OR_KEYS = """
        OR EXISTS (SELECT FROM general_idempotency_keys i
                   WHERE i.tenant_id = k.tenant_id AND i.user_id = k.user_id)"""
