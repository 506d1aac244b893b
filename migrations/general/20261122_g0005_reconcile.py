"""The functions by which `litestar reconcile` asks the general database."""

from __future__ import annotations

from alembic import op

revision = "g0005"
down_revision = "g0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """`across` for messages too, as g0004 has it for the other tables."""
    across = "current_user <> session_user"
    op.execute(
        f"CREATE POLICY across ON messages TO CURRENT_USER USING ({across}) WITH CHECK ({across})"
    )
    for statement in (DIGEST, KEYS, SUSPECTS, FACTS, STRAY, BROKEN):
        op.execute(statement)


def downgrade() -> None:
    for signature in SIGNATURES:
        op.execute(f"DROP FUNCTION {signature}")
    op.execute("DROP POLICY across ON messages")


DEFINER = "SECURITY DEFINER SET search_path = public, pg_temp"

# u0005 computes the same of its ledger.
HASHED = "uuid_hash_extended(o.user_id, uuid_hash_extended(o.tenant_id, 0))"
BUCKET = f"({HASHED} & 65535)::integer"

# See u0005. An owner on the way, 'closed', never agrees.
DIGEST = f"""
CREATE FUNCTION owner_digest()
RETURNS TABLE (bucket integer, living bigint, living_hash bigint, gone bigint, gone_hash bigint)
LANGUAGE sql STABLE {DEFINER} AS $$
    SELECT (hash & 65535)::integer,
        count(*) FILTER (WHERE state = 'open'),
        coalesce(bit_xor(hashint8extended(hash, 1)) FILTER (WHERE state = 'open'), 0),
        count(*) FILTER (WHERE state <> 'open'),
        coalesce(bit_xor(hashtextextended(state || coalesce(receipt, ''), hash))
                 FILTER (WHERE state <> 'open'), 0)
    FROM (SELECT o.state, r.hash AS receipt, {HASHED} AS hash
          FROM owners o LEFT JOIN erasure_receipts r
          ON r.tenant_id = o.tenant_id AND r.user_id = o.user_id) AS hashed
    GROUP BY 1
$$
"""

# Owners in the buckets whose bit is set, a page at a time.
KEYS = f"""
CREATE FUNCTION owner_keys(
    living bytea, gone bytea, after_tenant uuid, after_user uuid, page integer
) RETURNS TABLE (tenant_id uuid, user_id uuid) LANGUAGE sql STABLE {DEFINER} AS $$
    SELECT o.tenant_id, o.user_id FROM owners o
    WHERE (o.tenant_id, o.user_id) > (after_tenant, after_user)
    AND get_bit(CASE o.state WHEN 'open' THEN living ELSE gone END, {BUCKET}) = 1
    ORDER BY o.tenant_id, o.user_id LIMIT page
$$
"""

# Sessions whose owner is closed or missing, receipts whose owner is not erased: only rows written
# past the triggers and keys, and erasures on their way.
SUSPECTS = f"""
CREATE FUNCTION owner_suspects()
RETURNS TABLE (tenant_id uuid, user_id uuid) LANGUAGE sql STABLE {DEFINER} AS $$
    SELECT s.tenant_id, s.user_id FROM chat_sessions s
    LEFT JOIN owners o ON o.tenant_id = s.tenant_id AND o.user_id = s.user_id
    WHERE o.state IS DISTINCT FROM 'open'
    UNION
    SELECT r.tenant_id, r.user_id FROM erasure_receipts r
    LEFT JOIN owners o ON o.tenant_id = r.tenant_id AND o.user_id = r.user_id
    WHERE o.state IS DISTINCT FROM 'erased'
$$
"""

# What is known of each, but of those who are simply open. One statement, one snapshot.
FACTS = f"""
CREATE FUNCTION owner_facts(tenants uuid[], subjects uuid[])
RETURNS TABLE (tenant_id uuid, user_id uuid, state varchar, is_dated boolean, receipt varchar,
               has_sessions boolean)
LANGUAGE sql STABLE {DEFINER} AS $$
    SELECT k.tenant_id, k.user_id, o.state, o.closed_at IS NOT NULL, r.hash,
        EXISTS (SELECT FROM chat_sessions s
                WHERE s.tenant_id = k.tenant_id AND s.user_id = k.user_id)
    FROM unnest(tenants, subjects) AS k (tenant_id, user_id)
    LEFT JOIN owners o ON o.tenant_id = k.tenant_id AND o.user_id = k.user_id
    LEFT JOIN erasure_receipts r ON r.tenant_id = k.tenant_id AND r.user_id = k.user_id
    WHERE o.state IS DISTINCT FROM 'open' OR r.hash IS NOT NULL
$$
"""

# Sessions that are not there and yet have messages. From session to session along the index, so
# that the messages themselves, however many, are not read.
STRAY = f"""
CREATE FUNCTION stray_messages()
RETURNS TABLE (tenant_id uuid, session_id uuid) LANGUAGE sql STABLE {DEFINER} AS $$
    WITH RECURSIVE told AS (
        (SELECT m.tenant_id, m.session_id FROM messages m
         ORDER BY m.tenant_id, m.session_id LIMIT 1)
        UNION ALL
        SELECT next.tenant_id, next.session_id FROM told CROSS JOIN LATERAL (
            SELECT m.tenant_id, m.session_id FROM messages m
            WHERE (m.tenant_id, m.session_id) > (told.tenant_id, told.session_id)
            ORDER BY m.tenant_id, m.session_id LIMIT 1) AS next
    )
    SELECT told.tenant_id, told.session_id FROM told
    WHERE NOT EXISTS (SELECT FROM chat_sessions s
                      WHERE s.tenant_id = told.tenant_id AND s.id = told.session_id)
$$
"""

# Receipts that do not follow from the one before, or were changed: what verifying an export finds.
BROKEN = f"""
CREATE FUNCTION broken_receipts()
RETURNS TABLE (tenant_id uuid, user_id uuid, seq bigint) LANGUAGE sql STABLE {DEFINER} AS $$
    SELECT r.tenant_id, r.user_id, r.seq
    FROM (SELECT *, lag(e.seq) OVER (ORDER BY e.seq) AS seq_before,
                 lag(e.hash) OVER (ORDER BY e.seq) AS hash_before
          FROM erasure_receipts e) AS r
    WHERE r.seq <> coalesce(r.seq_before, 0) + 1
    OR r.prev_hash <> coalesce(r.hash_before, repeat('0', 64))
    OR r.hash <> encode(sha256(convert_to(concat_ws('|', 'bicameral-receipt-1', r.seq,
        r.tenant_id, r.user_id, r.chat_sessions, r.messages,
        to_char(r.finished_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        r.prev_hash), 'UTF8')), 'hex')
    ORDER BY r.seq
$$
"""

SIGNATURES = (
    "owner_digest()",
    "owner_keys(bytea, bytea, uuid, uuid, integer)",
    "owner_suspects()",
    "owner_facts(uuid[], uuid[])",
    "stray_messages()",
    "broken_receipts()",
)
