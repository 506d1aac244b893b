"""Receipts: that somebody's conversations are gone, in a chain that shows any tampering."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "g0004"
down_revision = "g0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _erasure_receipts()
    _keep_tenants_apart()
    for statement in (REFUSE, *TRIGGERS, APPEND, EXPORTED):
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP FUNCTION exported_receipts(bigint, integer)")
    op.execute("DROP FUNCTION append_receipt(uuid, uuid)")
    op.drop_table("erasure_receipts")
    op.execute("DROP FUNCTION refuse_receipt_change()")
    for table in ("owners", "chat_sessions"):
        op.execute(f"DROP POLICY across ON {table}")
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")


def _erasure_receipts() -> None:
    op.create_table(
        "erasure_receipts",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("chat_sessions", sa.BigInteger(), nullable=False),
        sa.Column("messages", sa.BigInteger(), nullable=False),
        sa.Column("remaining", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("prev_hash", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "user_id", name="pk_erasure_receipts"),
        sa.CheckConstraint("remaining = 0", name=op.f("ck_erasure_receipts_remaining")),
    )
    # Not unique: a unique key must contain tenant_id, and the chain is one for all tenants, so
    # that not even all of a tenant's receipts can vanish. append_receipt's lock counts them.
    op.create_index("idx_erasure_receipts_seq", "erasure_receipts", ["seq"])


def _keep_tenants_apart() -> None:
    """Set the policies as u0001 does in the user database; for two tables g0002 began it."""
    tenant = "nullif(current_setting('app.tenant_id', true), '')::uuid"
    across = "current_user <> session_user"
    op.execute("ALTER TABLE erasure_receipts ENABLE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY tenant ON erasure_receipts"
        f" USING (tenant_id = {tenant}) WITH CHECK (tenant_id = {tenant})"
    )
    for table in ("owners", "chat_sessions", "erasure_receipts"):
        op.execute(
            f"CREATE POLICY across ON {table} TO CURRENT_USER"
            f" USING ({across}) WITH CHECK ({across})"
        )
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")


REFUSE = """
CREATE FUNCTION refuse_receipt_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a receipt is for ever' USING ERRCODE = '23514';
END $$
"""

TRIGGERS = (
    """
CREATE TRIGGER refuse_receipt_change BEFORE UPDATE OR DELETE ON erasure_receipts
    FOR EACH ROW EXECUTE FUNCTION refuse_receipt_change()
""",
    """
CREATE TRIGGER refuse_receipt_truncate BEFORE TRUNCATE ON erasure_receipts
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_receipt_change()
""",
)

DEFINER = "SECURITY DEFINER SET search_path = public, pg_temp"

# The one way to a receipt. Counts what remains in the statement that inserts, so the CHECK is the
# proof; made twice it is still one receipt. The lock comes first and lasts until COMMIT: whoever
# reads the chain's end after it reads the true one, as long as each statement has a snapshot of
# its own. The owner's own login would see but one tenant's receipts, and fork the chain.
APPEND = f"""
CREATE FUNCTION append_receipt(tenant uuid, subject uuid) RETURNS SETOF erasure_receipts
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
         WHERE s.tenant_id = tenant AND s.user_id = subject),
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

# The chain in its order, a page at a time.
EXPORTED = f"""
CREATE FUNCTION exported_receipts(after bigint, page integer) RETURNS SETOF erasure_receipts
LANGUAGE sql STABLE {DEFINER} AS $$
    SELECT * FROM erasure_receipts WHERE seq > after ORDER BY seq LIMIT page
$$
"""
