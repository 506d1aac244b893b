"""The functions by which `litestar reconcile` asks the user database and mends it."""

from __future__ import annotations

from alembic import op

revision = "u0005"
down_revision = "u0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for statement in (DIGEST, KEYS, SUSPECTS, FACTS, IS_EMPTY, MEND):
        op.execute(statement)


def downgrade() -> None:
    for signature in SIGNATURES:
        op.execute(f"DROP FUNCTION {signature}")


DEFINER = "SECURITY DEFINER SET search_path = public, pg_temp"

# g0005 computes the same of its owners. The bucket is the hash's last 16 bits.
HASHED = "uuid_hash_extended(l.user_id, uuid_hash_extended(l.tenant_id, 0))"
BUCKET = f"({HASHED} & 65535)::integer"

# Of each bucket how many are living and gone, and the XOR of their hashes: equal on both sides
# where both know the same. Who is gone counts with the receipt; who is pending never agrees.
DIGEST = f"""
CREATE FUNCTION ledger_digest()
RETURNS TABLE (bucket integer, living bigint, living_hash bigint, gone bigint, gone_hash bigint)
LANGUAGE sql STABLE {DEFINER} AS $$
    SELECT (hash & 65535)::integer,
        count(*) FILTER (WHERE state = 'present'),
        coalesce(bit_xor(hashint8extended(hash, 1)) FILTER (WHERE state = 'present'), 0),
        count(*) FILTER (WHERE state <> 'present'),
        coalesce(bit_xor(hashtextextended(
            CASE WHEN delivered_rev < rev THEN 'pending' ELSE 'erased' || coalesce(receipt, '') END,
            hash)) FILTER (WHERE state <> 'present'), 0)
    FROM (SELECT l.state, l.rev, l.delivered_rev, l.receipt, {HASHED} AS hash
          FROM subject_ledger l) AS hashed
    GROUP BY 1
$$
"""

# Who is gone, in the buckets whose bit is set, a page at a time.
KEYS = f"""
CREATE FUNCTION ledger_keys(gone bytea, after_tenant uuid, after_user uuid, page integer)
RETURNS TABLE (tenant_id uuid, user_id uuid) LANGUAGE sql STABLE {DEFINER} AS $$
    SELECT l.tenant_id, l.user_id FROM subject_ledger l
    WHERE (l.tenant_id, l.user_id) > (after_tenant, after_user)
    AND l.state <> 'present' AND get_bit(gone, {BUCKET}) = 1
    ORDER BY l.tenant_id, l.user_id LIMIT page
$$
"""

# Where users and ledger disagree: their triggers were off.
SUSPECTS = f"""
CREATE FUNCTION ledger_suspects()
RETURNS TABLE (tenant_id uuid, user_id uuid) LANGUAGE sql STABLE {DEFINER} AS $$
    SELECT coalesce(l.tenant_id, u.tenant_id), coalesce(l.user_id, u.id)
    FROM subject_ledger l
    FULL JOIN users u ON u.id = l.user_id AND u.tenant_id = l.tenant_id
    WHERE (u.id IS NOT NULL) <> coalesce(l.state = 'present', false)
$$
"""

# What is known of each, but of those who are simply there. One statement, one snapshot.
FACTS = f"""
CREATE FUNCTION ledger_facts(tenants uuid[], subjects uuid[])
RETURNS TABLE (tenant_id uuid, user_id uuid, is_user boolean, state varchar, is_pending boolean,
               receipt varchar)
LANGUAGE sql STABLE {DEFINER} AS $$
    SELECT k.tenant_id, k.user_id, u.id IS NOT NULL, l.state,
        coalesce(l.delivered_rev < l.rev, false), l.receipt
    FROM unnest(tenants, subjects) AS k (tenant_id, user_id)
    LEFT JOIN users u ON u.id = k.user_id AND u.tenant_id = k.tenant_id
    LEFT JOIN subject_ledger l ON l.tenant_id = k.tenant_id AND l.user_id = k.user_id
    WHERE u.id IS NULL OR l.state IS DISTINCT FROM 'present'
$$
"""

# A database that never had a user is the wrong one, or a new one: nobody is a stranger to it.
IS_EMPTY = f"""
CREATE FUNCTION ledger_is_empty() RETURNS boolean LANGUAGE sql STABLE {DEFINER} AS $$
    SELECT NOT EXISTS (SELECT FROM subject_ledger) AND NOT EXISTS (SELECT FROM users)
$$
"""

# One user's entry, each verdict only where it still holds:
#   present  there is the user, but no entry
#   gone     there is no user: the entry says so, and the relay erases
#   deleted  proved in the other database, or 'deleted' before: the user goes, too
#   again    delivered, but undone since: the relay erases again
# Locks the user first, so that whoever creates or deletes at the same time is waited for.
MEND = f"""
CREATE FUNCTION mend_ledger(tenant uuid, subject uuid, verdict varchar) RETURNS void
LANGUAGE plpgsql {DEFINER} AS $$
BEGIN
    PERFORM FROM users u WHERE u.id = subject AND u.tenant_id = tenant FOR UPDATE;
    IF verdict = 'present' AND FOUND THEN
        INSERT INTO subject_ledger (tenant_id, user_id, state, rev, delivered_rev)
        VALUES (tenant, subject, 'present', 1, 1) ON CONFLICT DO NOTHING;
    ELSIF verdict = 'deleted' OR verdict = 'gone' AND NOT FOUND THEN
        DELETE FROM users u WHERE u.id = subject AND u.tenant_id = tenant;
        INSERT INTO subject_ledger (tenant_id, user_id, state, rev, delivered_rev)
        VALUES (tenant, subject, 'deleted', 1, 0) ON CONFLICT DO NOTHING;
        UPDATE subject_ledger l
        SET state = 'deleted', rev = l.rev + 1, changed_at = now(), not_before = now(),
            lease_until = NULL, attempts = 0
        WHERE l.tenant_id = tenant AND l.user_id = subject AND l.state <> 'deleted';
    ELSIF verdict = 'again' THEN
        UPDATE subject_ledger l
        SET rev = l.rev + 1, receipt = NULL, completed_at = NULL, not_before = now(),
            lease_until = NULL, attempts = 0
        WHERE l.tenant_id = tenant AND l.user_id = subject AND l.state = 'deleted'
        AND l.delivered_rev >= l.rev;
    END IF;
END $$
"""

SIGNATURES = (
    "ledger_digest()",
    "ledger_keys(bytea, uuid, uuid, integer)",
    "ledger_suspects()",
    "ledger_facts(uuid[], uuid[])",
    "ledger_is_empty()",
    "mend_ledger(uuid, uuid, varchar)",
)
